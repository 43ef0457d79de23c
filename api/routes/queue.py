"""What waits, and who works."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from fastapi import APIRouter

from api import schemas
from api.auth import Session, SettingsOf, Viewer, signed_in
from store import tables, workers
from store.jobs import read, surroundings

router = APIRouter(prefix="/v1", tags=["queue"])


@router.get("/queue")
def show_queue(session: Session, viewer: Viewer, settings: SettingsOf) -> schemas.Page[schemas.Waiting]:
    """Every waiting job in the order in which they will start; of others' jobs only owner, kind, priority and place."""
    rows = read.queue(session, viewer)
    waited = surroundings.seconds_waiting(session, [row.job.id for row in rows])
    silence = timedelta(seconds=settings.lease_seconds)
    served = {
        slot
        for worker in _workers(workers.workers(session), surroundings.now(session), silence)
        if worker.alive
        for place in worker.slots
        for slot in place.takes
    }
    return schemas.Page(data=[_waiting(row, waited[row.job.id], row.job.slot in served) for row in rows])


@router.get("/workers", dependencies=[signed_in])
def list_workers(session: Session, settings: SettingsOf) -> schemas.Page[schemas.Worker]:
    """The worker processes and their slots."""
    silence = timedelta(seconds=settings.lease_seconds)
    return schemas.Page(data=_workers(workers.workers(session), surroundings.now(session), silence))


def _waiting(row: read.Waiting, seconds: float, served: bool) -> schemas.Waiting:
    """A job in the queue. `served`: does any live worker take its sort of job?"""
    if not served:
        reason = "no worker that takes such jobs is running"
    elif row.place == 1:
        reason = "it is next: it waits for a slot"
    else:
        reason = f"{row.place - 1} {'job is' if row.place == 2 else 'jobs are'} ahead of it"
    return schemas.Waiting(
        place=row.place,
        job=row.job.id if row.mine else None,
        kind=row.job.kind,
        owner=row.owner,
        priority=row.job.priority,
        mine=row.mine,
        waiting_seconds=round(seconds, 1),
        reason=reason,
    )


def _workers(rows: Sequence[tables.Worker], now: datetime, silence: timedelta) -> list[schemas.Worker]:
    """Worker processes; one that was not heard of for longer than `silence` counts as dead."""
    return [
        schemas.Worker(
            id=row.id,
            host=row.host,
            version=row.version,
            alive=now - row.seen_at <= silence,
            slots=[
                schemas.Slot(
                    name=slot["name"], device=slot["device"], takes=slot["takes"], busy=slot.get("job") is not None
                )
                for slot in row.slots["slots"]
            ],
            started_at=row.started_at,
            seen_at=row.seen_at,
        )
        for row in rows
    ]
