"""A process dies just before or after each thing that must not be done by half; another goes on with its job."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from store.tables import Job
from tests.drills import saboteur
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.failpoints import POINTS, arm
from tests.drills.load import Mix, in_the_middle
from tests.drills.stage import Crew, Place, Stage
from tests.working import eventually

PATCHES = ("tests.drills.failpoints:in_worker", "tests.drills.failpoints:in_child")


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """Two workers with a slot each; half of the jobs are real ones. Whoever comes to the point first dies."""
    with stage.place(SIEVE_CPU_SLOTS="1") as place:
        crew = Crew(place, 2, *PATCHES)
        mix, auditor = Mix(place), Auditor.of(place)
        first = stage.draw.randrange(len(POINTS))
        for number in range(n):
            point = POINTS[(first + number) % len(POINTS)]
            job, armed = provoke(stage, place, crew, mix, point)
            with contextlib.suppress(AssertionError):
                eventually(lambda armed=armed, job=job: not armed.exists() or place.ended([job.id]), 60)  # type: ignore[misc]
            reached = not armed.exists()
            armed.unlink(missing_ok=True)
            crew.replace_the_dead()  # both may be: the one that was killed, and the one that took its job
            place.until(job, seconds=90)
            found = auditor.check([job.id])
            resumed = auditor.resumed([job.id])
            yield Trial(
                int(reached), found, {"kind": job.kind, "died": point, "resumed_at": resumed} if reached else {}
            )
        yield Trial(0, auditor.check(mix.undisturbed))


def provoke(stage: Stage, place: Place, crew: Crew, mix: Mix, point: str) -> tuple[Job, Path]:
    """A job that will come to this point, armed by now."""
    if point.endswith("claim"):
        armed = arm(place.home, point)
        return mix.submit(), armed
    job = mix.submit()
    in_the_middle(place, job, saved=stage.draw.random() < 0.7)
    time.sleep(stage.draw.uniform(0, 0.3))
    armed = arm(place.home, point)
    holder = crew.holder(job)
    if point.endswith("take_from_the_lost") and holder is not None:
        saboteur.kill(holder.pid)
    elif point.endswith("release") and holder is not None:
        saboteur.kill(saboteur.family(holder)[0])
    return job, armed


DRILL = Drill(
    name="failpoints",
    holds="the same, where a process dies before or after a checkpoint, blob rename, claim commit, finish commit",
    full=10 * len(POINTS),
    short=2,
    seconds=40,
    run=run,
    without=("tests.drills.protections:no_checkpoints",),
)
