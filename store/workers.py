"""The workers that there are, their slots, and what an admin keeps from taking work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import Interval, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.errors import NotFound
from store.tables import Blob, Hold, Json, User, Worker


def register(session: Session, worker_id: str, *, host: str, pid: int, version: str, slots: list[Json]) -> None:
    """A worker has started. Two of its threads may say so at once."""
    values = {"host": host, "pid": pid, "version": version, "slots": {"slots": slots}}
    statement = insert(Worker).values(id=worker_id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={**values, "seen_at": func.now()}))


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


def living(session: Session, silence: float) -> list[Worker]:
    """Workers that were heard of in the last `silence` seconds, oldest first."""
    return list(session.scalars(_LIVING, {"silence": timedelta(seconds=silence)}))


_LIVING = select(Worker).where(Worker.seen_at >= func.now() - bindparam("silence", type_=Interval)).order_by(Worker.id)


def ready(session: Session, silence: float) -> int:
    """How many slots of living workers there are; a worker that still warms up has none."""
    return sum(len(worker.slots["slots"]) for worker in living(session, silence))


def blobs_of_others(session: Session, host: str, *, limit: int = 20) -> list[tuple[str, int]]:
    """The newest blobs (sha256, size) of an installation that has workers on other hosts; none of one that has not."""
    if session.scalar(select(Worker.id).where(Worker.host != host).limit(1)) is None:
        return []
    newest = select(Blob.sha256, Blob.size).where(Blob.state == "present").order_by(Blob.changed_at.desc()).limit(limit)
    return [(row.sha256, row.size) for row in session.execute(newest)]


def hold(session: Session, admin: User, *, host: str, slot: str = "", drain: bool = False, reason: str) -> None:
    """Keep a host, or one slot of it, from taking new work. Holding again changes how, and why. Ring the bell after.

    Args:
        drain: what runs there stops at its next checkpoint and goes back into the queue; else it runs to its end.

    Raises:
        NotFound: no worker has such a slot.
    """
    known = [worker for worker in workers(session) if worker.host == host]
    if not known or (slot and not any(has["name"] == slot for worker in known for has in worker.slots["slots"])):
        raise NotFound("slot", f"{host} {slot}".strip())
    values = {"drain": drain, "reason": reason, "held_by": admin.name}
    statement = insert(Hold).values(host=host, slot=slot, **values)
    again = {**values, "since": func.now()}
    session.execute(statement.on_conflict_do_update(index_elements=["host", "slot"], set_=again))


def release(session: Session, *, host: str, slot: str = "") -> None:
    """Let a host, or one slot of it, take work again. A host's hold also covers slots that are held by themselves."""
    session.execute(delete(Hold).where(Hold.host == host, Hold.slot == slot))


def holds(session: Session) -> dict[tuple[str, str], Hold]:
    """All holds, by host and slot (empty: the whole host)."""
    return {(row.host, row.slot): row for row in session.scalars(_HOLDS)}


_HOLDS = select(Hold).order_by(Hold.host, Hold.slot)


def hold_over(held: Mapping[tuple[str, str], Hold], host: str, slot: str) -> Hold | None:
    """Which of these keeps a slot from taking work: a hold on it or on its host; of both, one that drains."""
    here = [found for name in ("", slot) if (found := held.get((host, name)))]
    return max(here, key=lambda one: one.drain, default=None)
