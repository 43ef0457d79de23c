"""Cancelling: 5 s for one that listens, 15 s for one that is deaf, in a C loop, or stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.load import TRAIN
from tests.drills.stage import Stage
from tests.jobs import events
from tests.plugins.rehearsal import RehearsalSpec
from tests.working import eventually

LISTENING = (RehearsalSpec(steps=10_000, seconds=0.05), {**TRAIN, "epochs": 5000})
OTHERS = ("deaf", "c loop", "stopped")
PATIENCE = 30.0


def run(stage: Stage, n: int) -> Iterator[Trial]:
    with stage.at_work() as (place, _):
        for number in range(n):
            ignoring = number % 4 == 3
            spec = RehearsalSpec(ending=OTHERS[number // 4 % 3]) if ignoring else LISTENING[number % 2]  # type: ignore[arg-type]
            job = place.submit(spec)
            eventually(lambda job=job: events(place.database, job.id, "progress"), 60)  # type: ignore[misc]
            time.sleep(stage.draw.uniform(0, 1))
            began = time.monotonic()
            place.cancel(job)
            place.until(job, seconds=PATIENCE)
            took = time.monotonic() - began
            found = Auditor.of(place).check([job.id], end=("cancelled",))
            yield Trial(1, found, {"ignoring_seconds" if ignoring else "seconds": took})


DRILL = Drill(
    name="cancel",
    holds="cancel: p99 <= 5 s; one that ignores it <= 15 s",
    full=200,
    short=4,
    shares=True,
    seconds=15,
    run=run,
    without=("tests.drills.protections:no_pressing",),
    limits={"seconds": ("p99", 5), "ignoring_seconds": ("max", 15)},
)
