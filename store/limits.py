"""What users may use: the lab's policy, their own limits, and where they stand.

A limit on running jobs or on GPU hours holds jobs back in the queue (`store.fairness`); one on waiting jobs or on
storage refuses a submission, and says what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from store.errors import LimitReached, NotFound
from store.fairness import USED, WEEK_GPU_SECONDS, limit
from store.tables import Account, Artifact, Job, Policy, Usage, User

WAITING = ("blocked", "queued", "paused")
"""What the limit on waiting jobs counts."""
UNLIMITED = -1
"""As a user's own limit: none, whatever the lab's."""


@dataclass(frozen=True)
class Standing:
    """A user's account: what is used, and the limit of each; None is no limit."""

    name: str
    share: float
    """What orders users in the queue: slot seconds, weighted and decayed. Who has less is served first."""
    running: int
    max_running: int | None
    waiting: int
    max_queued: int | None
    week_gpu_hours: float
    max_gpu_hours: float | None
    storage: int
    """Bytes."""
    max_storage: int | None
    gpu_hours: float
    """Of all time, like what follows."""
    cpu_hours: float
    kilowatt_hours: float


_STANDING = text(f"""
    select users.name, {USED} as share, accounts.running, {limit("max_running")},
           (select count(*) from jobs
            where owner_id = users.id and state in ('blocked', 'queued', 'paused') and slot <> 'none'),
           {limit("max_queued")}, {WEEK_GPU_SECONDS} / 3600, {limit("max_gpu_hours")},
           (select coalesce(sum(size), 0)::bigint from artifacts join jobs on jobs.id = job_id
            where owner_id = users.id),
           {limit("max_storage")},
           coalesce(used.gpu, 0) / 3600, coalesce(used.cpu, 0) / 3600, coalesce(used.joules, 0) / 3.6e6
    from users
    join accounts on accounts.user_id = users.id
    cross join policy
    left join lateral (
        select sum(gpu_seconds) as gpu, sum(cpu_seconds) as cpu, sum(joules) as joules
        from usage where user_id = users.id
    ) used on true
    where cast(:user as text) is null or users.id = :user
    order by users.name
""")


def standings(session: Session, user: User | None = None) -> list[Standing]:
    """Where everybody stands, or one user, by name."""
    return [Standing(*row) for row in session.execute(_STANDING, {"user": user.id if user else None})]


def days(session: Session, user: User, *, last: int = 30) -> list[Usage]:
    """What a user's jobs used on each of the last days on which they used anything, newest first."""
    query = select(Usage).where(Usage.user_id == user.id).order_by(Usage.day.desc()).limit(last)
    return list(session.scalars(query))


def admit(session: Session, owner: User, jobs: int) -> None:
    """See that a user may submit so many jobs. Their submissions wait for each other until this one is through.

    Raises:
        LimitReached: they may not.
    """
    limits = session.execute(
        text(f"select {limit('max_queued')}, {limit('max_storage')} from accounts, policy where user_id = :user"),
        {"user": owner.id},
    ).one()
    max_queued, max_storage = limits
    if max_queued is not None:
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"submits {owner.id}", 0))))
        mine = (Job.owner_id == owner.id, Job.state.in_(WAITING), Job.slot != "none")
        waiting = session.scalar(select(func.count()).where(*mine)) or 0
        if waiting + jobs > max_queued:
            raise LimitReached(
                "too_many_queued",
                f"{waiting} of your jobs wait, this would add {jobs}, and {max_queued} is the limit: wait until some "
                "have started, cancel some, or ask an admin for more",
            )
    if max_storage is not None:
        made = select(func.coalesce(func.sum(Artifact.size), 0)).join(Job, Job.id == Artifact.job_id)
        stored = int(session.scalar(made.where(Job.owner_id == owner.id)) or 0)
        if stored >= max_storage:
            raise LimitReached(
                "storage_full",
                f"your jobs' files take {stored / 1e9:.2f} of {max_storage / 1e9:.2f} GB: delete jobs that you need no "
                "more, or ask an admin for more",
            )


def policy(session: Session) -> Policy:
    """How the lab shares its server."""
    return session.get_one(Policy, 1)


def set_policy(session: Session, values: Mapping[str, Any]) -> Policy:
    """Change columns of the lab's policy."""
    if values:
        session.execute(update(Policy).values(**values))
    session.expire_all()
    return policy(session)


def set_limits(session: Session, name: str, values: Mapping[str, float | None]) -> Standing:
    """Change a user's own limits (columns of `Account`): None is the lab's, `UNLIMITED` none.

    Raises:
        NotFound: there is no such user.
    """
    user = session.scalar(select(User).where(User.name == name))
    if user is None:
        raise NotFound("user", name)
    if values:
        session.execute(update(Account).where(Account.user_id == user.id).values(**values))
    (standing,) = standings(session, user)
    return standing


def own(session: Session) -> list[Account]:
    """Everybody's account, with the limits that are their own."""
    return list(session.scalars(select(Account)))
