"""The power goes at a failpoint: whatever the database refers to is there and whole, and jobs go on from it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.drills import saboteur
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.failpoints import POINTS
from tests.drills.load import Mix
from tests.drills.power import forget
from tests.drills.rows.failpoints import PATCHES, provoke
from tests.drills.stage import Crew, Stage
from tests.working import descendants, eventually

HERE = tuple(point for point in POINTS if "take_from_the_lost" not in point)


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """In the moment in which a process dies at the point, everything else is killed too, PostgreSQL included."""
    with stage.place() as place:
        crew = Crew(place, 1, *PATCHES, "tests.drills.power:journalled")
        mix = Mix(place)
        jobs = list(mix.undisturbed)
        first = stage.draw.randrange(len(HERE))
        for number in range(n):
            point = HERE[(first + number) % len(HERE)]
            job, armed = provoke(stage, place, crew, mix, point)
            with contextlib.suppress(AssertionError):
                eventually(lambda armed=armed, job=job: not armed.exists() or place.ended([job.id]), 60)  # type: ignore[misc]
            reached = not armed.exists()
            armed.unlink(missing_ok=True)
            server = stage.postgres.process
            assert server is not None
            saboteur.kill(*saboteur.all_of(crew.workers[0]), server.pid, *descendants(server.pid))
            server.wait()
            lost = forget(place.home)
            stage.postgres.start()
            eventually(place.answers, 30)
            auditor = Auditor.of(place)
            found = auditor.references()
            if found:
                yield Trial(1, found, {"died": point, "lost_entries": lost})
                return
            crew.replace_the_dead()
            place.until(job, seconds=90)
            jobs.append(job.id)
            found = Auditor.of(place).check(jobs)
            measured = {"kind": job.kind, "died": point, "lost_entries": lost, "resumed_at": auditor.resumed([job.id])}
            yield Trial(int(reached), found, measured if reached else {})


DRILL = Drill(
    name="power_loss",
    holds="the same for power loss: a disk layer that forgets everything not synced at each failpoint",
    full=4 * len(HERE),
    short=1,
    seconds=35,
    run=run,
    without=("tests.drills.power:unsynced",),
)
