"""Give a free slot its next job: one statement, in one round trip that takes the lock, decides and commits.

The lock is given on before the claim is on disk, so that others need not wait for the disk one after the other: the
claim is committed without waiting, and then waited for, together with whoever else waits. Nobody acts on a claim before
it is safe; whoever saw it meanwhile comes after it in the log, and would be lost with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy.orm import Session

from store.fairness import GPU_HOURS_LEFT, MAY_RUN, USED
from store.jobs.transition import DECISIONS
from store.tables import Json

_DECIDE = f"""
    select set_config('sieve.decides', 'yes', true), set_config('synchronous_commit', 'off', true)
    from pg_advisory_xact_lock({DECISIONS})
    where exists (select from jobs where state = 'queued' and slot = any(cast(%(takes)s as text[])))
"""
"""Takes the right to decide, and says so to the transaction; only where something waits: an idle slot's look holds up
nobody."""

_CLAIM = f"""
    with owners as materialized (
        select user_id, {USED} as used
        from accounts, policy
        where current_setting('sieve.decides', true) = 'yes'
            and {MAY_RUN} and (cast(%(device)s as text) not like 'cuda%%' or {GPU_HOURS_LEFT})
    ),
    asked as (
        select wanted.slot, preference, least as priority
        from unnest(cast(%(takes)s as text[])) with ordinality as wanted (slot, preference)
        cross join (values (2, 2), (1, 1), (0, 0), (-1, -1)) as priorities (least, greatest)
        cross join lateral (
            select from jobs
            where state = 'queued' and slot = wanted.slot and priority between least and greatest
            order by priority
            limit 1
        ) anything
        order by preference, priority desc
    ),
    next as materialized (
        select job.id, job.study_id
        from asked
        cross join lateral (
            select head.id, head.study_id
            from (select user_id, used from owners order by used, user_id) owner
            cross join lateral (
                select id, study_id
                from jobs
                where state = 'queued' and owner_id = user_id and slot = asked.slot and priority = asked.priority
                order by queued_at, id
                limit 1
            ) head
            order by used, user_id
            limit 1
        ) job
        order by preference, asked.priority desc
        limit 1
    ),
    study as (
        select jobs.id, state from jobs join next on jobs.id = next.study_id where state <> 'running'
    ),
    started as (
        update jobs
        set state = 'running', fence = fence + 1, worker_id = %(worker)s, place = %(place)s, device = %(device)s,
            lease_until = now() + make_interval(secs => %(lease)s),
            attempt_at = now(), progressed_at = now(), charged_at = now(),
            started_at = coalesce(started_at, now()),
            status_code = null, status_message = null, retryable = false, last_event = last_event + 1
        from next
        where jobs.id = next.id
        returning jobs.id, owner_id, fence, kind, spec, failures, last_event
    ),
    counted as (
        update accounts set running = running + 1 from started where user_id = started.owner_id
    ),
    study_started as (
        update jobs
        set state = 'running', started_at = coalesce(started_at, now()),
            status_code = null, status_message = null, retryable = false, last_event = last_event + 1
        from study
        where jobs.id = study.id
        returning jobs.id, study.state as before, last_event
    ),
    told as (
        insert into events (job_id, id, type, data)
        select id, last_event, 'state',
               jsonb_build_object('from', before, 'to', 'running', 'code', null, 'message', null)
        from (
            select id, 'queued' as before, last_event from started
            union all
            select id, before, last_event from study_started
        ) changed
    )
    select id as job_id, fence, kind, spec, failures
    from started
    where set_config('sieve.claimed', 'yes', false) = 'yes'
"""
"""For each sort of slot and priority that anybody waits for, best first: the users, who has used least first, until one
has such a job. So it looks at a handful of jobs, however many wait. (`between` and `order by`, where `=` alone would
mean the same: PostgreSQL would look for one such job through the whole table.)"""


_UNTIL_SAFE = """
    select set_config('sieve.claimed', 'no', false), pg_logical_emit_message(true, 'sieve', '')
    where current_setting('sieve.claimed', true) = 'yes'
"""
"""After a claim, writes a word into PostgreSQL's log, in a transaction of its own: it has ended once the log is on disk
up to there, the claim included."""


@dataclass(frozen=True)
class Claim:
    """An attempt's right to a job: `fence` guards every write of it."""

    job_id: str
    fence: int
    kind: str
    spec: Json
    failures: int


def claim(
    session: Session,
    *,
    worker_id: str,
    takes: Sequence[str],
    lease_seconds: float,
    place: str = "",
    device: str = "cpu",
) -> Claim | None:
    """Take the best next job for a slot, or None where nothing waits for one that may run.

    Commits by itself, in the same round trip: while the right to decide is held, nobody waits for this process to get
    its turn on the processor. Call it in a transaction of its own.

    Args:
        takes: sorts of job (`cpu`, `accelerator`) that the slot takes, the preferred first.
        place: the slot, as `host/name`.
        device: its device, as torch names it.
    """
    connection: Connection[Any] = session.connection().connection.driver_connection  # type: ignore[assignment]
    slot = {"takes": list(takes), "device": device, "place": place, "worker": worker_id, "lease": lease_seconds}
    with connection.pipeline():
        connection.execute(_DECIDE, slot, prepare=True)
        taken = connection.cursor(row_factory=class_row(Claim)).execute(_CLAIM, slot, prepare=True)
        connection.commit()
        connection.execute(_UNTIL_SAFE, prepare=True)
        connection.commit()
    return taken.fetchone()
