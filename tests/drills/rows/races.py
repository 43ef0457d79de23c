"""At one job, in the same moment: the sweeper, its owner who cancels, and the attempt that ends."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import text

from store.database import Database
from store.errors import IllegalTransition, LeaseLost
from store.jobs import claim, finish, wish
from store.tables import Job
from tests.drills import load
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.forks import fork
from tests.drills.stage import Stage
from tests.jobs import NO_BLOBS
from tests.plugins.rehearsal import RehearsalSpec

ROUND = 100
ENDS = ("running", "succeeded", "failed", "cancelled", "queued", "paused")


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """Six processes meet at every job, in an order of the moment: its lease has run out, and it is not told yet."""
    with stage.place() as place:
        for first in range(0, n, ROUND):
            jobs = load.many(place, min(ROUND, n - first), RehearsalSpec(steps=1))
            with place.database.transaction() as session:
                claims = [
                    claim.claim(session, worker_id="wrk_hand", takes=("accelerator",), lease_seconds=-1) for _ in jobs
                ]
            held = [(one.job_id, one.fence) for one in claims if one is not None]
            broken = fork(6, _race, place.database_url, held, patches=stage.patches)
            with place.database.transaction() as session:
                ended = (
                    session.execute(text("select state from jobs where id = any(:ids)"), {"ids": jobs}).scalars().all()
                )
            found = Auditor.of(place).check(jobs, end=ENDS) + broken
            with place.database.transaction() as session:  # nothing waits for the next round's claims
                session.execute(text("delete from jobs where state in ('running', 'queued', 'paused')"))
            yield Trial(len(jobs), found, {"ended": list(ended)})


def _race(database: Database, number: int, held: list[tuple[str, int]]) -> None:
    """Each process has a part of its own, and takes part at about every other job, a moment sooner or later."""
    draw = random.Random(f"{number} {held}")
    for id, fence in held:
        if draw.random() < 0.5:
            continue
        time.sleep(draw.uniform(0, 0.005))
        with contextlib.suppress(LeaseLost, IllegalTransition), database.transaction() as session:
            _part(session, number, id, fence)


def _part(session: Any, number: int, id: str, fence: int) -> None:
    if number == 0:
        finish.take_from_the_lost(session, lease_seconds=-1_000_000, max_failures=3)
    elif number == 1:
        wish.cancel(session, session.get_one(Job, id))
    elif number == 2:
        finish.succeed(session, id, fence, figures={}, files=(), blobs=NO_BLOBS)
    elif number == 3:
        finish.crash(session, id, fence, code="killed", message="killed", max_failures=1)
    elif number == 4:
        wish.pause(session, session.get_one(Job, id))
    else:
        finish.release(session, id, fence, code="stopped", message="stopped")


DRILL = Drill(
    name="races",
    holds="terminal states never change; 0 illegal transitions: reaper / cancel / finish races",
    full=1000,
    short=100,
    seconds=5,
    run=run,
    without=("tests.drills.protections:no_decisions",),
)
