"""A short job of high priority may ask a long one of low priority to pause at its next checkpoint.

Low priority is how an owner says that a job may be interrupted: the others are left alone. It goes back into the queue
at its old place, uncharged. It has run for a while first, so that every attempt gets somewhere; and there is only one
asked for each short job that waits.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from store import events
from store.fairness import GPU_HOURS_LEFT, MAY_RUN
from store.jobs.transition import decide
from store.tables import Job

_PATIENCE = 2.0
"""Seconds that a short job waits for a slot that is free anyway."""

_WAITING = f"""
    select jobs.id, jobs.slot, users.name as owner, max_run_seconds, jobs.queued_at
    from jobs
    join users on users.id = jobs.owner_id
    join accounts on accounts.user_id = jobs.owner_id
    cross join policy
    where state = 'queued' and priority >= 1 and max_run_seconds <= policy.short_seconds and policy.preemption
        and queued_at < now() - make_interval(secs => {_PATIENCE}) and {MAY_RUN} and {GPU_HOURS_LEFT}
"""

_PAIRS = text(f"""
    with waiting as (
        select *, row_number() over (partition by slot order by queued_at, id) as number from ({_WAITING}) short
    ),
    running as (
        select jobs.id, slot, row_number() over (partition by slot order by attempt_at desc, jobs.id) as number
        from jobs, policy
        where state = 'running' and slot <> 'none' and priority < 0 and wish is null
            and attempt_at < now() - make_interval(secs => policy.least_run_seconds)
            and coalesce(cast(progress ->> 'eta_seconds' as double precision), 'infinity') > policy.short_seconds
    ),
    asked as (
        select slot, count(*) as already from jobs where state = 'running' and wish = 'preempt' group by slot
    )
    select running.id as long, waiting.id as short, waiting.owner, waiting.max_run_seconds
    from waiting
    left join asked on asked.slot = waiting.slot
    join running on running.slot = waiting.slot and running.number = waiting.number - coalesce(already, 0)
""")
"""Each short job that waits, longest first, with a long one that runs; whoever has lost least by it first."""


def preempt(session: Session) -> int:
    """Ask long jobs to pause for short ones. Gives their number; ring the bell where there are any."""
    if not session.execute(_PAIRS).all():
        return 0
    decide(session)
    pairs = session.execute(_PAIRS).all()
    for pair in pairs:
        job = session.get_one(Job, pair.long, with_for_update=True, populate_existing=True)
        job.wish = "preempt"
        message = f"asked to pause for a short job of {pair.owner} (at most {pair.max_run_seconds:g} s)"
        events.append(session, job, "log", {"message": message})
    return len(pairs)
