"""SIGTERM in the middle of an epoch: the worker ends within a minute, and the attempt is not charged."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.load import TRAIN, in_the_middle
from tests.drills.stage import Stage
from tests.jobs import look
from tests.plugins.rehearsal import RehearsalSpec

EPOCHS_OF_SECONDS = {**TRAIN, "adversary": {"norm": "l2", "epsilon": 0.5, "steps": 30}, "epochs": 1000}
"""An epoch takes about a second."""


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """A training and a rehearsal; every tenth time one that does not listen, as in a very long epoch."""
    for number in range(n):
        with stage.at_work() as (place, worker):
            other = RehearsalSpec(ending="deaf") if number % 10 == 9 else RehearsalSpec(steps=1000, seconds=0.1)
            jobs = [place.submit(EPOCHS_OF_SECONDS), place.submit(other)]
            for job in jobs:
                in_the_middle(place, job, saved=False)
            time.sleep(stage.draw.uniform(0.2, 2))
            began = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            status = worker.wait(120)
            took = time.monotonic() - began
            found = [f"the worker ended with {status}"] if status != 0 else []
            found += Auditor.of(place).check([job.id for job in jobs], end=("queued",))
            charged = [job.id for job in jobs if look(place.database, job.id).failures]
            found += [f"{id} was charged" for id in charged]
            place.end(worker)
            for job in jobs:
                place.cancel(job)
            yield Trial(1, found, {"seconds": took, "other": other.ending})


DRILL = Drill(
    name="drain",
    holds="drain on SIGTERM <= 60 s; the attempt is not charged: mid-epoch",
    full=50,
    short=1,
    shares=True,
    seconds=10,
    run=run,
    without=("tests.drills.protections:no_draining",),
    limits={"seconds": ("max", 60)},
)
