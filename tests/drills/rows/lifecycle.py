"""A state machine over the life of jobs does whatever owners, workers, sweepers and admins can, and looks after each.

Steps are those that Hypothesis really did. Portions have a seed of their own and a database of their own, which fsck
reads in the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import Value
from typing import Any

from store.database import Database
from tests import lifecycle
from tests.drills.drill import Drill, Trial
from tests.drills.forks import fork
from tests.drills.stage import Stage

EXAMPLES = 20
STEPS = 60
"""Of an example, at most."""


def run(stage: Stage, n: int) -> Iterator[Trial]:
    done = 0
    while done < n:
        seed, steps = stage.draw.getrandbits(32), Value("Q", 0)
        with stage.place() as place:
            found = fork(1, _play, place.database_url, seed, steps, patches=stage.patches)
        yield Trial(steps.value, [f"seed {seed}: {one}" for one in found])
        done += max(steps.value, 1)


def _play(database: Database, _: int, seed: int, steps: Any) -> None:
    machine = lifecycle.machine_on(database)
    try:
        lifecycle.run(machine, EXAMPLES, STEPS, seed=seed)
    finally:
        steps.value = machine.steps


DRILL = Drill(
    name="lifecycle",
    holds="terminal states never change; 0 illegal transitions: a Hypothesis state machine of >= 10,000 steps",
    full=10_000,
    short=0,
    run=run,
    without=("tests.drills.protections:no_fence",),
)
