"""Twenty processes claim and finish jobs as fast as they can: each claim is one attempt's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from sqlalchemy import select, text, update

from store.database import Database
from store.jobs import claim, finish
from store.tables import Account, Job
from tests.drills import load
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.forks import fork
from tests.drills.stage import Place, Stage
from tests.jobs import NO_BLOBS, person
from tests.plugins.rehearsal import RehearsalSpec

CLAIMERS = 20
USERS = 5
MAY_RUN = 3
"""Jobs of one user at once: fewer than there are claimers."""
PATIENCE = 1000
"""Looks in vain, one after another, after which a claimer gives up: then some job can never be claimed."""


def run(stage: Stage, n: int) -> Iterator[Trial]:
    with stage.place() as place:
        jobs: list[str] = []
        for number in range(USERS):
            place.owner = person(place.database, f"user {number}")
            jobs += load.many(place, -(-n // USERS), RehearsalSpec(steps=1))
        with place.database.transaction() as session:
            session.execute(update(Account).values(max_running=MAY_RUN))
        ended = threading.Event()
        counts: list[tuple[int, int]] = []
        watching = threading.Thread(target=_watch, args=(place, ended, counts))
        watching.start()
        began = time.monotonic()
        broken = fork(CLAIMERS, _claim, place.database_url, patches=stage.patches)
        seconds = time.monotonic() - began
        ended.set()
        watching.join()
        most = max(running for running, _ in counts)
        found = Auditor.of(place).check(jobs)
        if most > MAY_RUN:
            found.append(f"{most} jobs of one user ran at once, allowed were {MAY_RUN}")
        found += [f"{ran} jobs of one user ran, counted were {said}" for ran, said in counts if ran != said][:5]
        found += broken
        figures = {"claims_and_ends_a_second": round(len(jobs) / seconds), "looks_at_quotas": len(counts), "most": most}
        yield Trial(len(jobs), found, figures)


def _watch(place: Place, ended: threading.Event, counts: list[tuple[int, int]]) -> None:
    """Again and again: how many jobs of each user run, and how many are said to."""
    query = """
        select (select count(*) from jobs where owner_id = user_id and state = 'running'), running from accounts
    """
    while not ended.wait(0.005):
        with place.database.transaction() as session:
            counts += [(ran, said) for ran, said in session.execute(text(query))]


def _claim(database: Database, number: int) -> None:
    me, idle = f"wrk_{number}", 0
    while idle < PATIENCE:
        with database.transaction() as session:
            taken = claim.claim(session, worker_id=me, takes=("accelerator",), lease_seconds=60)
        if taken is None:
            if _all_ended(database):
                return
            idle += 1
            time.sleep(0.005)
            continue
        idle = 0
        with database.transaction() as session:
            finish.succeed(session, taken.job_id, taken.fence, figures={}, files=(), blobs=NO_BLOBS)


def _all_ended(database: Database) -> bool:
    with database.transaction() as session:
        return session.scalar(select(Job.id).where(Job.state.in_(("queued", "running"))).limit(1)) is None


DRILL = Drill(
    name="claimers",
    holds="one claim an attempt, quotas never overshot: 20 claimers, 5,000 jobs",
    full=5000,
    short=400,
    run=run,
    without=("tests.drills.protections:no_decisions",),
)
