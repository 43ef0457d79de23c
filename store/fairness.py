"""Who is next: higher priority first, then the user who has used least, then of their jobs the one that waits longest.

What a user has used is a sum of slot seconds in which everything counts half after a half-life (`Policy`). A second on
a GPU counts 1, on a CPU slot `cpu_rate`; of a job of high priority double, of low priority half, so that priorities are
worth thinking about. Each slot that a user holds now counts `ADVANCE` seconds more: between users who have used about
the same, who runs less comes first, and nobody takes all free slots before their first second is charged.

Charges are made by the database's clock, whenever an attempt renews and when it ends, never past its lease.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from store.tables import Job

ADVANCE = 60.0
"""Seconds that a held slot counts beforehand."""

USED = f"""(
    accounts.usage * power(0.5, date_part('epoch', now() - accounts.usage_at) / (3600 * policy.half_life_hours))
    + {ADVANCE}::double precision * accounts.running
)"""
"""SQL, of `accounts` and `policy`: what orders users."""

THIS_WEEK = "date_trunc('week', now(), 'UTC')"
"""SQL: when this week began."""

WEEK_GPU_SECONDS = f"(case when accounts.week = {THIS_WEEK} then accounts.week_gpu_seconds else 0 end)"
"""SQL, of `accounts`: GPU seconds since then."""


def limit(name: str) -> str:
    """SQL, of `accounts` and `policy`: one of a user's limits; null where there is none."""
    return f"nullif(coalesce(accounts.{name}, policy.{name}), -1)"


MAY_RUN = f"(policy.maintenance is null and accounts.running < coalesce({limit('max_running')}, accounts.running + 1))"
"""SQL, of `accounts` and `policy`: does nothing hold back all of a user's jobs?"""

GPU_HOURS_LEFT = f"({limit('max_gpu_hours')} is null or {WEEK_GPU_SECONDS} < 3600 * {limit('max_gpu_hours')})"
"""SQL, of `accounts` and `policy`: may a job of theirs start on a GPU?"""

WEIGHT = "(case when charged.priority = 1 then 2 when charged.priority = -1 then 0.5 else 1 end)"
"""SQL, of `charged`: what a second of a job counts by its priority. Who is moved to the front pays no more."""

INTO_THE_BOOKS = f"""
    into_account as (
        update accounts
        set usage = usage * power(0.5, extract(epoch from now() - usage_at) / (3600 * policy.half_life_hours))
                    + charged.elapsed * {WEIGHT} * (case when charged.gpu then 1 else policy.cpu_rate end),
            usage_at = greatest(usage_at, now()),
            week = {THIS_WEEK},
            week_gpu_seconds = {WEEK_GPU_SECONDS} + (case when charged.gpu then charged.elapsed else 0 end),
            running = running - charged.given_back
        from charged, policy
        where user_id = charged.owner_id
    ),
    into_ledger as (
        insert into usage (user_id, day, gpu_seconds, cpu_seconds, joules)
        select owner_id, cast(now() at time zone 'UTC' as date),
               case when gpu then elapsed else 0 end, case when gpu then 0 else elapsed end, coalesce(joules, 0)
        from charged
        on conflict (user_id, day) do update
        set gpu_seconds = usage.gpu_seconds + excluded.gpu_seconds,
            cpu_seconds = usage.cpu_seconds + excluded.cpu_seconds,
            joules = usage.joules + excluded.joules
    )
"""
"""SQL: writes what `charged` (owner_id, priority, gpu, elapsed, joules, given_back) holds into account and ledger."""

_END = text(f"""
    with before as (
        select id, greatest(coalesce(extract(epoch from least(now(), lease_until) - charged_at), 0), 0) as elapsed
        from jobs
        where id = :job
    ),
    charged as (
        update jobs
        set charged_at = now(),
            gpu_seconds = gpu_seconds + (case when device like 'cuda%' then elapsed else 0 end),
            cpu_seconds = cpu_seconds + (case when device like 'cuda%' then 0 else elapsed end),
            run_seconds = run_seconds + elapsed
        from before
        where jobs.id = before.id
        returning owner_id, priority, coalesce(device like 'cuda%', false) as gpu, elapsed,
                  0 as joules, 1 as given_back
    ),
    {INTO_THE_BOOKS}
    select 1
""")


def charge_end(session: Session, job: Job) -> None:
    """Charge what a running attempt used since it renewed last, up to its lease's end; its slot is free again.

    The caller holds the right to decide, and the job's row.
    """
    session.flush()
    session.execute(_END, {"job": job.id})
    session.expire(job, ["charged_at", "gpu_seconds", "cpu_seconds", "run_seconds"])
