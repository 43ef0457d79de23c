"""Who is next: higher priority first, then the user with the fewest running jobs, then the job that waits longest."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select, text

from store.lifecycle import State
from store.tables import Job

NEXT = text("""
    select head.id, head.study_id
    from users
    cross join unnest(cast(:takes as text[])) with ordinality as wanted (slot, preference)
    cross join lateral (
        select id, study_id, priority, queued_at
        from jobs
        where owner_id = users.id and slot = wanted.slot and state = 'queued'
        order by priority desc, queued_at, id
        limit 1
    ) head
    cross join lateral (
        select count(*) as running from jobs where owner_id = users.id and state = 'running' and slot <> 'none'
    ) busy
    order by wanted.preference, head.priority desc, busy.running, head.queued_at, head.id
    limit 1
""")
"""The job to claim for a slot that takes `takes`, the preferred first. Looks at one job a user, not at the queue."""


def waiting_order() -> Select[Any]:
    """Ids of queued jobs and their `place` in the queue of their slot: what `NEXT` would give, again and again.

    A user's k-th waiting job comes to turn when k - 1 of theirs and those running now are ahead of it.
    """
    running = (
        select(Job.owner_id, func.count().label("running"))
        .where(Job.state == State.RUNNING, Job.slot != "none")
        .group_by(Job.owner_id)
        .subquery()
    )
    turn = func.row_number().over(
        partition_by=(Job.owner_id, Job.slot), order_by=(Job.priority.desc(), Job.queued_at, Job.id)
    ) + func.coalesce(running.c.running, 0)
    queued = (
        select(Job.id, Job.slot, Job.priority, Job.queued_at, turn.label("turn"))
        .outerjoin(running, running.c.owner_id == Job.owner_id)
        .where(Job.state == State.QUEUED)
        .subquery()
    )
    order = (queued.c.priority.desc(), queued.c.turn, queued.c.queued_at, queued.c.id)
    return select(queued.c.id, func.row_number().over(partition_by=queued.c.slot, order_by=order).label("place"))
