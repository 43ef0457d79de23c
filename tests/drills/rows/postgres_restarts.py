"""PostgreSQL is restarted, killed as often as asked to stop, every 5 to 40 seconds while small jobs run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError

from tests.drills import load
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.stage import Place, Stage, stop_for
from tests.plugins.rehearsal import RehearsalSpec
from tests.working import eventually

SPEC = RehearsalSpec(steps=4, seconds=0.02)
PORTION = 20
ROUND = 250


def run(stage: Stage, n: int) -> Iterator[Trial]:
    with stage.place(SIEVE_MAX_FAILURES="1000") as place, place.working():
        for first in range(0, n, ROUND):
            jobs: list[str] = []
            submitting = threading.Thread(target=_submit, args=(place, min(ROUND, n - first), jobs))
            submitting.start()
            restarts = 0
            until = time.monotonic() + 600
            while (submitting.is_alive() or place.ended(jobs) < len(jobs)) and time.monotonic() < until:
                if stage.short or stage.off:
                    time.sleep(stage.draw.uniform(1, 3))
                else:
                    time.sleep(stage.draw.uniform(5, 40))
                stop_for(stage.postgres, stage.draw.uniform(0, 2), stage.draw)
                eventually(place.answers, 30)
                restarts += 1
            submitting.join()
            yield Trial(len(jobs), Auditor.of(place).check(jobs), {"restarts": restarts})


def _submit(place: Place, count: int, jobs: list[str]) -> None:
    """Portions, each of which is there or not. Who is not told which asks again: there may be more than count."""
    while len(jobs) < count:
        try:
            jobs += load.many(place, min(PORTION, count - len(jobs)), SPEC)
        except DBAPIError:
            time.sleep(0.2)
        time.sleep(0.3)


DRILL = Drill(
    name="postgres_restarts",
    holds="all invariants hold: Postgres restarted every 5-40 s under 2,000 small jobs",
    full=2000,
    short=40,
    seconds=30,
    run=run,
    without=("tests.drills.protections:no_transactions",),
)
