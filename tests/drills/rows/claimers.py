"""Twenty processes claim and finish jobs as fast as they can: each claim is one attempt's."""

from __future__ import annotations

import time
from collections.abc import Iterator

from store.database import Database
from store.jobs import claim, finish
from tests.drills import load
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.forks import fork
from tests.drills.stage import Stage
from tests.jobs import NO_BLOBS
from tests.plugins.rehearsal import RehearsalSpec

CLAIMERS = 20


def run(stage: Stage, n: int) -> Iterator[Trial]:
    with stage.place() as place:
        jobs = load.many(place, n, RehearsalSpec(steps=1))
        began = time.monotonic()
        found = fork(CLAIMERS, _claim, place.database_url, patches=stage.patches)
        seconds = time.monotonic() - began
        found += Auditor.of(place).check(jobs)
        yield Trial(n, found, {"claims_and_ends_a_second": round(n / seconds)})


def _claim(database: Database, number: int) -> None:
    me = f"wrk_{number}"
    while True:
        with database.transaction() as session:
            taken = claim.claim(session, worker_id=me, takes=("accelerator",), lease_seconds=60)
        if taken is None:
            return
        with database.transaction() as session:
            finish.succeed(session, taken.job_id, taken.fence, figures={}, files=(), blobs=NO_BLOBS)


DRILL = Drill(
    name="claimers",
    holds="one claim an attempt, quotas never overshot: 20 claimers, 5,000 jobs",
    full=5000,
    short=400,
    run=run,
    without=("tests.drills.protections:no_decisions",),
)
