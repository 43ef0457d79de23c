"""kill -9 of a worker or of its nursery, also while they start: five seconds later nothing of them is left."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.drills import saboteur
from tests.drills.drill import Drill, Trial
from tests.drills.load import TRAIN
from tests.drills.stage import Stage
from tests.plugins.rehearsal import RehearsalSpec
from tests.working import descendants, eventually, statuses

SECONDS = 5.0
LONG = (RehearsalSpec(steps=10_000, seconds=0.05, ending="with orphans"), {**TRAIN, "epochs": 5000})


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """In turn: the nursery, the worker, and the worker while its nursery still imports."""
    with stage.place(SIEVE_MAX_FAILURES="1000000") as place:
        for spec in LONG:
            place.submit(spec)
        worker = place.ready(place.start())
        for number in range(n):
            way = ("nursery", "worker", "worker while it starts")[number % 3]
            if way == "worker while it starts":
                worker = place.start(cold=True)
                time.sleep(stage.draw.uniform(0.3, 4))
            else:
                eventually(lambda worker=worker: _all_there(worker.pid), 60, place.log)  # type: ignore[misc]
                time.sleep(stage.draw.uniform(0, 0.5))
            below = descendants(worker.pid)
            saboteur.kill(saboteur.family(worker)[0] if way == "nursery" else worker.pid)
            if way != "nursery":
                worker.wait()
            began = time.monotonic()
            left = saboteur.left_after(below, SECONDS * stage.patience)
            found = [f"{way} killed: {command} is still there" for command in left]
            saboteur.kill(*below)
            yield Trial(1, found, {"seconds": round(time.monotonic() - began, 2), "killed": way, "below": len(below)})
            if way == "worker while it starts":
                worker = place.ready(place.start())


def _all_there(worker: int) -> bool:
    """The nursery, two children, and what one of those has started in a session of its own."""
    commands = statuses()
    return sum(commands[pid][1].startswith("sleep") for pid in descendants(worker) if pid in commands) == 1 and (
        len(descendants(worker)) == 4
    )


DRILL = Drill(
    name="orphans",
    holds="no orphan process 5 s after its worker dies: kill -9 of the worker and of the nursery",
    full=150,
    short=3,
    seconds=30,
    run=run,
    without=("tests.drills.protections:no_cleaning",),
)
