"""What waits, in the order in which it would start, what holds it back, and what the slots are busy with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Integer, bindparam, column, text
from sqlalchemy.orm import Session

from store.fairness import ADVANCE, GPU_HOURS_LEFT, THIS_WEEK, USED, WEEK_GPU_SECONDS, limit
from store.tables import Hold, User, Worker


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
    """A running job that holds a slot."""

    id: str
    kind: str
    owner: str
    slot: str
    """The sort of slot."""
    mine: bool
    seconds_left: float | None
    """How long it will run on, by its own estimate."""


@dataclass(frozen=True)
class Queue:
    """What waits, and what it depends on."""

    waiting: Sequence[Waiting]
    """By place: of each sort of slot the first queued jobs, and the viewer's own first."""
    blocked: Sequence[Blocked]
    """Jobs of the viewer's that wait for others."""
    busy: Sequence[Busy]
    """The running jobs, the one that ends first first."""
    living: Sequence[Worker]
    """Workers that were heard of just now, oldest first: host and slots."""
    holds: Mapping[tuple[str, str], Hold]
    """All holds, by host and slot (empty: the whole host)."""
    maintenance: str | None
    week_ends_in: float
    """Seconds until GPU hours are counted anew."""


_LEFT = """
    greatest(0, cast(progress ->> 'eta_seconds' as double precision) - extract(epoch from now() - progressed_at))
"""


def _heads(owners: str, start: str, count: str) -> str:
    """SQL, of a `sort` of slot: of each of these owners (user_id, used, held) the jobs that wait for it, in the order
    in which theirs would start: `count` of them, after the first `start`."""
    return f"""
        select user_id, used, held, head.*, used + {ADVANCE}::double precision * nth as turn
        from {owners} owner
        cross join lateral (
            select id, priority, kind, queued_at, row_number() over (order by priority desc, queued_at, id) as nth
            from jobs
            where owner_id = user_id and slot = sort and state = 'queued'
            order by priority desc, queued_at, id
            offset {start} limit {count}
        ) head
    """


def _first(heads: str) -> str:
    """SQL, of `sorts`: for each the first `limit` of these heads, and the place that each has among them."""
    order = "held, priority desc, turn, user_id"
    return f"""
        select sort, placed.*
        from sorts
        cross join lateral (
            select *, row_number() over (order by {order}) as at
            from ({heads} order by {order} limit :limit) heads
        ) placed
    """


_FEW = "(1 + :limit / 10)"
"""How many jobs of each owner are looked at first. It changes no answer: with 50 owners, half or twice as many cost the
same."""
_OWNERS = "(select user_id, used, running_held or (sort = 'accelerator' and hours_held) as held from owners)"
_FURTHER = f"(select user_id, used, held, at from few where few.sort = sorts.sort and nth = {_FEW})"
_AHEAD = f"""
    select user_id, used, held, id, priority, kind, queued_at, nth, turn from few where few.sort = sorts.sort
    union all
    {_heads(_FURTHER, _FEW, ":limit - at")}
"""

_ALIVE = "seen_at >= now() - make_interval(secs => :silence)"
_ON_GPUS = f"""
    select bool_or(slots @? '$.slots[*].takes[*] ? (@ == "accelerator")')
           and not bool_or(slots @? '$.slots[*] ? (@.device == "cpu").takes[*] ? (@ == "accelerator")')
    from workers
    where {_ALIVE}
"""
"""Have all slots that take `accelerator` jobs a GPU? Only there GPU hours are limited."""

_WAITING = f"""
    with owners as materialized (
        select *, coalesce(running >= max_running, false) as running_held,
               coalesce(({_ON_GPUS}) and not gpu_hours_left, false) as hours_held
        from (
            select accounts.user_id, users.name as owner, accounts.running, {USED} as used,
                   {limit("max_running")} as max_running, {limit("max_gpu_hours")} as max_gpu_hours,
                   {WEEK_GPU_SECONDS} / 3600 as gpu_hours, {GPU_HOURS_LEFT} as gpu_hours_left
            from accounts join users on users.id = accounts.user_id, policy
        ) owner
    ),
    sorts (sort) as (values ('accelerator'), ('cpu')),
    few as materialized ({_first(_heads(_OWNERS, "0", _FEW))}),
    first as materialized ({_first(_AHEAD)}),
    shown as (
        select * from first
        union all
        select sort, mine.*, :limit + 1
        from sorts
        cross join lateral ({_heads(_OWNERS, "0", ":limit")} where user_id = :viewer) mine
        where id not in (select id from first)
    )
    select id, kind, owner, priority, sort as slot, user_id = :viewer as mine,
           cast(extract(epoch from now() - queued_at) as double precision) as seconds,
           at as place, at <= :limit as exact, running, max_running, gpu_hours, max_gpu_hours,
           sort <> 'accelerator' or not hours_held as gpu_hours_left
    from shown
    join owners using (user_id)
    order by at, sort, turn
"""
"""The order of claims, read only as far as the first `limit` need it. First a few jobs of each owner are put in order
(`few`). Where the last of an owner's few is at place `at` there, at least so many are ahead of what that owner has
beside: of that, `limit - at` jobs can be among the first. Of owners whose last is not there, none can."""

_BLOCKED = f"""
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
"""

_BUSY = f"""
    select jobs.id, kind, users.name as owner, slot, owner_id = :viewer as mine, {_LEFT} as seconds_left
    from jobs join users on users.id = owner_id
    where state = 'running' and slot <> 'none'
    order by seconds_left nulls last, jobs.id
"""


def _rows(sql: str, fields: type[NamedTuple]) -> str:
    """SQL, a JSON array of arrays: the rows of some other, with these fields."""
    return f"(select coalesce(json_agg(json_build_array({', '.join(fields._fields)})), '[]') from ({sql}) one)"


def _object(*names: str) -> str:
    return f"json_build_object({', '.join(f'{name!r}, {name}' for name in names)})"


_FIELDS = {
    "waiting": _rows(_WAITING, Waiting),
    "blocked": _rows(_BLOCKED, Blocked),
    "busy": _rows(_BUSY, Busy),
    "living": f"(select json_agg({_object('host', 'slots')} order by id) from workers where {_ALIVE})",
    "holds": f"(select json_agg({_object('host', 'slot', 'drain', 'reason', 'held_by')}) from holds)",
    "maintenance": "maintenance",
    "week_ends_in": f"cast(extract(epoch from {THIS_WEEK} + interval '1 week' - now()) as double precision)",
}
_QUEUE = (
    text(" ".join(f"select {', '.join(_FIELDS.values())} from policy".split()))
    .bindparams(bindparam("limit", type_=Integer, literal_execute=True))
    .columns(*(column(name) for name in _FIELDS))
)
"""In one statement: a connection that is waited for costs a turn at Python, which has others to compute for. It is made
once. What its columns are is not found out anew each time, nor where its values go: psycopg remembers that of short
statements only, so it has no spaces to spare. `limit` is written into it: what it costs depends on that, and else
PostgreSQL would make a plan for it each time."""


def look(session: Session, viewer: User, *, silence: float, limit: int = 100) -> Queue:
    """The queue as one user sees it: of each sort of slot the first `limit` jobs and as many of their own, and as many
    that wait for others.

    Workers that were not heard of for `silence` seconds do not count.
    """
    values = {"viewer": viewer.id, "silence": silence, "limit": limit}
    found = session.connection().execute(_QUEUE, values).one()
    return Queue(
        waiting=[Waiting._make(one) for one in found.waiting],
        blocked=[Blocked._make(one) for one in found.blocked],
        busy=[Busy._make(one) for one in found.busy],
        living=[Worker(**one) for one in found.living or ()],
        holds={(one["host"], one["slot"]): Hold(**one) for one in found.holds or ()},
        maintenance=found.maintenance,
        week_ends_in=found.week_ends_in,
    )
