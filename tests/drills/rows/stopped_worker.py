"""SIGSTOP of a worker until another has its jobs, then SIGCONT: nothing that it then writes is taken."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial

from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.load import in_the_middle
from tests.drills.stage import Place, Stage
from tests.jobs import look
from tests.plugins.rehearsal import RehearsalSpec
from tests.working import eventually

SPEC = RehearsalSpec(steps=24, seconds=0.2)


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """Two workers with two slots each. Whichever has a job is stopped, and the other takes it."""
    with stage.place() as place:
        crew = [place.start(), place.start()]
        for worker in crew:
            place.ready(worker)
        for _ in range(n):
            jobs = [place.submit(SPEC), place.submit(SPEC)]
            for job in jobs:
                in_the_middle(place, job)
            time.sleep(stage.draw.uniform(0, 0.5))
            victim = next(worker for worker in crew if place.holds(worker, jobs))
            before = {job.id: look(place.database, job.id).fence for job in place.holds(victim, jobs)}
            os.kill(victim.pid, signal.SIGSTOP)
            try:
                eventually(partial(_taken, place, before), 30, place.log)
                time.sleep(stage.draw.uniform(0, 1.5))
            finally:
                os.kill(victim.pid, signal.SIGCONT)
            for job in jobs:
                place.until(job, seconds=60)
            time.sleep(0.5)
            found = Auditor.of(place).check([job.id for job in jobs])
            yield Trial(1, found, {"attempts_that_lost_their_lease": len(before)})


def _taken(place: Place, before: dict[str, int]) -> bool:
    return all(look(place.database, id).fence > fence for id, fence in before.items())


DRILL = Drill(
    name="stopped_worker",
    holds="every write of a worker that lost its lease is refused: SIGSTOP past the lease, then CONT",
    full=200,
    short=1,
    seconds=25,
    run=run,
    without=("tests.drills.protections:no_fence",),
)
