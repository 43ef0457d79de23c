"""The workers that there are, and their slots."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from store.tables import Json, Worker


def register(session: Session, worker_id: str, *, host: str, pid: int, version: str, slots: list[Json]) -> None:
    """A worker has started."""
    session.add(Worker(id=worker_id, host=host, pid=pid, version=version, slots={"slots": slots}))


def seen(session: Session, worker_id: str, slots: list[Json]) -> bool:
    """A worker lives, and its slots do this. False where it was given up meanwhile: it should register again."""
    statement = update(Worker).where(Worker.id == worker_id).values(seen_at=func.now(), slots={"slots": slots})
    return session.scalar(statement.returning(Worker.id)) is not None


def leave(session: Session, worker_id: str) -> None:
    """A worker ends in order."""
    session.execute(delete(Worker).where(Worker.id == worker_id))


def forget_silent(session: Session, seconds: float) -> None:
    """Remove workers that were not heard of for this long."""
    session.execute(delete(Worker).where(Worker.seen_at < func.now() - timedelta(seconds=seconds)))


def workers(session: Session) -> list[Worker]:
    """All workers, oldest first."""
    return list(session.scalars(select(Worker).order_by(Worker.id)))
