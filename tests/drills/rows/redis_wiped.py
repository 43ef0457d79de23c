"""Redis is killed, and with it all that it knew, in the middle of a queue: every job is done all the same."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from tests.drills import load
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.stage import Stage, stop_for
from tests.plugins.rehearsal import RehearsalSpec
from tests.working import eventually

SPEC = RehearsalSpec(steps=1)
ROUND = 250


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """Most are queued when Redis dies. The last ones come while it is away and the slots have nothing to do."""
    with stage.at_work() as (place, _):
        for first in range(0, n, ROUND):
            count = min(ROUND, n - first)
            last = max(1, count // 10)
            jobs = load.many(place, count - last, SPEC)
            eventually(lambda jobs=jobs: place.ended(jobs) > len(jobs) // 3, 120)  # type: ignore[misc]
            began = time.monotonic()
            assert stage.redis.process is not None
            stage.redis.process.kill()
            eventually(lambda jobs=jobs: place.ended(jobs) == len(jobs), 300)  # type: ignore[misc]
            jobs += load.many(place, last, SPEC)
            stop_for(stage.redis, 0, stage.draw)
            with contextlib.suppress(AssertionError):
                eventually(lambda jobs=jobs: place.ended(jobs) == len(jobs), 30)  # type: ignore[misc]
            yield Trial(count, Auditor.of(place).check(jobs), {"seconds": round(time.monotonic() - began, 1)})


DRILL = Drill(
    name="redis_wiped",
    holds="1000 of 1000 queued jobs finish: Redis killed and wiped in the middle",
    full=1000,
    short=60,
    shares=True,
    seconds=10,
    run=run,
    without=("tests.drills.protections:no_looking",),
)
