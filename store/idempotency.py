"""Requests that are repeated: a user's key finds what the first request with it made, and the answer that it got.

The row is written in the transaction that made it: after a power cut both are there, or neither.
"""

from __future__ import annotations

import time
from datetime import timedelta

from sqlalchemy import Delete, delete, func, select
from sqlalchemy.orm import Session

from store.errors import IdempotencyConflict, IdempotencyInFlight
from store.tables import IdempotencyKey, Json, User

KEPT = timedelta(days=1)
"""So long an answer is given again. A key that made a job finds it for as long as there is the job."""

_IN_FLIGHT_SECONDS = 1.0
"""How long a request waits for another with the same key: most are through in a few milliseconds."""


def earlier(session: Session, owner: User, key: str, asked: str) -> IdempotencyKey | None:
    """What is known of a key; keeps later requests with the same one out until this one is through.

    Args:
        asked: the sha256 of what is asked.

    Raises:
        IdempotencyConflict: the key came with something else before.
        IdempotencyInFlight: another request with it is not through yet.
    """
    mine = func.pg_try_advisory_xact_lock(func.hashtextextended(f"{owner.id} {key}", 0))
    until = time.monotonic() + _IN_FLIGHT_SECONDS
    while not session.scalar(select(mine)):
        if time.monotonic() > until:
            raise IdempotencyInFlight
        time.sleep(0.02)
    found = session.get(IdempotencyKey, (owner.id, key))
    if found is not None and found.job_id is None:
        session.execute(_old().where(IdempotencyKey.owner_id == owner.id, IdempotencyKey.key == key))
        found = session.get(IdempotencyKey, (owner.id, key))
    if found is not None and found.body_sha256 != asked:
        raise IdempotencyConflict
    return found


def keep_job(session: Session, owner: User, key: str, asked: str, job_id: str) -> None:
    """Let a key find the job that it made."""
    session.add(IdempotencyKey(owner_id=owner.id, key=key, body_sha256=asked, job_id=job_id))
    session.flush()


def keep_answer(session: Session, owner: User, key: str, asked: str, answer: Json) -> None:
    """Let a key find the answer that it got. It must hold no secret."""
    session.add(IdempotencyKey(owner_id=owner.id, key=key, body_sha256=asked, answer=answer))
    session.flush()


def forget_old(session: Session) -> None:
    """Forget answers that have been kept long enough."""
    session.execute(_old())


def _old() -> Delete:
    too_old = IdempotencyKey.created_at < func.now() - KEPT
    return delete(IdempotencyKey).where(IdempotencyKey.job_id.is_(None), too_old)
