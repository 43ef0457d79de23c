"""One user has filled the queue; the only job of another starts within one turnover of the slots."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import text

from store.errors import IllegalTransition
from store.jobs import wish
from store.tables import Job
from tests.drills import load
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.stage import Place, Stage
from tests.jobs import person, submitted
from tests.plugins.rehearsal import RehearsalSpec
from tests.working import eventually

SLOTS = 2
QUEUE = {"full": 1000, "short": 100}
SPEC = RehearsalSpec(steps=2, seconds=0.1)


def run(stage: Stage, n: int) -> Iterator[Trial]:
    with stage.at_work() as (place, _):
        crowd = load.many(place, QUEUE["short" if stage.short or stage.off else "full"], SPEC)
        eventually(lambda: place.ended(crowd) > 2, 60, place.log)
        for _ in range(n):
            job = submitted(place.database, person(place.database, f"newcomer {stage.draw.getrandbits(60)}"), SPEC)
            place.bell.ring()
            eventually(lambda job=job: place.ended([job.id]) or place.ended(crowd) == len(crowd), 120)  # type: ignore[misc]
            place.until(job)
            ahead = _started_between(place, job.id)
            found = Auditor.of(place).check([job.id])
            if ahead > SLOTS:
                found.append(f"{ahead} jobs of others were started before it, on {SLOTS} slots")
            yield Trial(1, found, {"started_before_it": ahead})
        for id in crowd:
            with contextlib.suppress(IllegalTransition), place.database.transaction() as session:
                wish.cancel(session, session.get_one(Job, id))


def _started_between(place: Place, job: str) -> int:
    """Others' starts between this job's submission and its own start."""
    query = """
        with mine as (
            select min(at) as submitted, min(at) filter (where data ->> 'to' = 'running') as started
            from events where job_id = :job and type = 'state'
        )
        select count(*) from events, mine
        where type = 'state' and data ->> 'to' = 'running' and job_id <> :job and at > submitted and at < started
    """
    with place.database.transaction() as session:
        return int(session.execute(text(query), {"job": job}).scalar_one())


DRILL = Drill(
    name="newcomer",
    holds="a newcomer's job starts within one slot turnover: 1,000 jobs of one user against 1 of another",
    full=50,
    short=2,
    shares=True,
    seconds=10,
    run=run,
    without=("tests.drills.protections:no_fairness",),
)
