"""kill -9 of the worker twenty times in one study: its datasets, models and table are those of the undisturbed one."""

from __future__ import annotations

from collections.abc import Iterator

from core.planning import parse
from tests.drills.drill import Drill, Trial
from tests.drills.kill_and_resume import drill
from tests.drills.stage import Stage


def run(stage: Stage, n: int) -> Iterator[Trial]:
    spec = parse({"kind": "study", "preset": "digits"})
    said = drill(lambda _: stage.place(), spec, kills=n, seed=stage.draw.getrandbits(20), settings={})
    found = [name for name, held in said["what_held"].items() if not held]
    if found:
        found += said["different"]
    hit = [kind for kind, times in said["hit"].items() for _ in range(times)]
    yield Trial(said["kills"], found, {"hit": hit, "redone_seconds": said["redone_seconds_max"]})


DRILL = Drill(
    name="study",
    holds="a whole study is bit-identical to an undisturbed one: kill -9 of its workers",
    full=20,
    short=0,
    run=run,
    without=("tests.drills.protections:no_checkpoints",),
)
