"""What waits, in the order in which it would start, what holds it back, and what the slots are busy with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from store.fairness import ADVANCE, GPU_HOURS_LEFT, THIS_WEEK, USED, WEEK_GPU_SECONDS, limit
from store.tables import User


class Waiting(NamedTuple):
    """A queued job. Everyone sees owner, kind, priority and place of what is ahead."""

    id: str
    kind: str
    owner: str
    """The owner's name."""
    priority: int
    slot: str
    """The sort of slot that it waits for."""
    mine: bool
    seconds: float
    """How long it has waited."""
    place: int
    """1 is next, in the order that slots would take the jobs of this sort if nothing else came and nobody's usage
    changed. Jobs of users who are at a limit come last."""
    exact: bool
    """Is it just that place? Else at least that one: only so many places are counted."""
    running: int
    """Slots that the owner's jobs hold now."""
    max_running: int | None
    """How many they may hold."""
    gpu_hours: float
    """What the owner used this week."""
    max_gpu_hours: float | None
    gpu_hours_left: bool
    """False where it could start on GPUs alone, and all hours are used."""


class Blocked(NamedTuple):
    """A job of the viewer's that waits for others."""

    id: str
    kind: str
    priority: int
    slot: str
    seconds: float
    missing: int
    """How many of the jobs that it needs have not succeeded yet."""
    needs: str
    """The first of them."""
    needs_state: str
    needs_seconds: float | None
    """How long that one will run on, by its own estimate."""


class Busy(NamedTuple):
    """A running job, and the slot that it holds."""

    id: str
    kind: str
    owner: str
    priority: int
    slot: str
    place: str
    """Host and slot."""
    device: str
    mine: bool
    seconds_left: float | None
    """How long it will run on, by its own estimate."""


@dataclass(frozen=True)
class Service:
    """What all jobs depend on."""

    maintenance: str | None
    week_ends_in: float
    """Seconds until GPU hours are counted anew."""


_LEFT = """
    greatest(0, cast(progress ->> 'eta_seconds' as double precision) - extract(epoch from now() - progressed_at))
"""

_HEADS = f"""
    select owners.*, sorts.slot, head.id, head.priority, head.queued_at,
           coalesce(running >= max_running, false)
               or (sorts.slot = 'accelerator' and :on_gpus and not gpu_hours_left) as held,
           used + {ADVANCE}::double precision * head.nth as turn
    from owners
    cross join lateral (
        select id, priority, queued_at, row_number() over (order by priority desc, queued_at, id) as nth
        from jobs
        where owner_id = user_id and slot = sorts.slot and state = 'queued'
        order by priority desc, queued_at, id
        limit :limit
    ) head
"""
"""SQL, of `owners` and `sorts`: of each owner the first jobs that wait for a sort of slot."""

_WAITING = text(f"""
    with owners as materialized (
        select accounts.user_id, accounts.running, {USED} as used,
               {limit("max_running")} as max_running, {limit("max_gpu_hours")} as max_gpu_hours,
               {WEEK_GPU_SECONDS} / 3600 as gpu_hours, {GPU_HOURS_LEFT} as gpu_hours_left
        from accounts, policy
    ),
    sorts (slot) as (values ('accelerator'), ('cpu')),
    first as materialized (
        select ordered.*, row_number() over (partition by ordered.slot order by held, priority desc, turn, user_id)
                   as at
        from sorts
        cross join lateral ({_HEADS} order by held, priority desc, turn, user_id limit :limit) ordered
    ),
    shown as (
        select * from first
        union all
        select mine.*, :limit + 1
        from sorts
        cross join lateral ({_HEADS} where user_id = :viewer) mine
        where mine.id not in (select id from first)
    )
    select shown.id, jobs.kind, users.name as owner, shown.priority, shown.slot, user_id = :viewer as mine,
           cast(extract(epoch from now() - shown.queued_at) as double precision) as seconds,
           at, at <= :limit as exact, running, max_running, gpu_hours, max_gpu_hours,
           gpu_hours_left or shown.slot <> 'accelerator' or not :on_gpus
    from shown
    join jobs on jobs.id = shown.id
    join users on users.id = user_id
    order by at, shown.slot, turn
""")

_BLOCKED = text(f"""
    select mine.id, mine.kind, mine.priority, mine.slot,
           cast(extract(epoch from now() - mine.created_at) as double precision) as seconds,
           mine.waiting_for as missing, missing.id as needs, missing.state as needs_state,
           missing.seconds_left as needs_seconds
    from (
        select * from jobs where owner_id = :viewer and state = 'blocked' and slot <> 'none' order by id limit :limit
    ) mine
    cross join lateral (
        select jobs.id, jobs.state, case when state = 'running' then {_LEFT} end as seconds_left
        from needs join jobs on jobs.id = needs.needs_id
        where needs.job_id = mine.id and state <> 'succeeded'
        order by jobs.id
        limit 1
    ) missing
    order by mine.id
""")

_BUSY = text(f"""
    select jobs.id, kind, users.name as owner, priority, slot, coalesce(place, '') as place,
           coalesce(device, '') as device, owner_id = :viewer as mine, {_LEFT} as seconds_left
    from jobs join users on users.id = owner_id
    where state = 'running' and slot <> 'none'
    order by seconds_left nulls last, jobs.id
""")

_SERVICE = text(f"""
    select maintenance,
           cast(extract(epoch from {THIS_WEEK} + interval '1 week' - now()) as double precision) as week_ends_in
    from policy
""")


def waiting(session: Session, viewer: User, *, on_gpus: bool, limit: int = 100) -> Sequence[Waiting]:
    """The first `limit` queued jobs of each sort of slot, and the viewer's own first, by place.

    Args:
        on_gpus: do all slots that take `accelerator` jobs have a GPU? Only there GPU hours are limited.
    """
    rows = session.execute(_WAITING, {"viewer": viewer.id, "on_gpus": on_gpus, "limit": limit})
    return [Waiting._make(row) for row in rows.all()]


def blocked(session: Session, viewer: User, *, limit: int = 100) -> Sequence[Blocked]:
    """The viewer's jobs that wait for others."""
    return [Blocked._make(row) for row in session.execute(_BLOCKED, {"viewer": viewer.id, "limit": limit}).all()]


def busy(session: Session, viewer: User) -> Sequence[Busy]:
    """The running jobs, the one that ends first first."""
    return [Busy._make(row) for row in session.execute(_BUSY, {"viewer": viewer.id}).all()]


def service(session: Session) -> Service:
    """What all jobs depend on."""
    return Service(*session.execute(_SERVICE).one())
