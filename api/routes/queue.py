"""What waits, and who works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session as OrmSession

from api import paging, schemas, waiting
from api.auth import Session, SettingsOf, signed_in
from api.looking import Looked, LookerOf
from store import tables, workers
from store.jobs import queue, surroundings
from store.settings import Settings

router = APIRouter(prefix="/v1", tags=["queue"], route_class=Looked)

Holds = Mapping[tuple[str, str], tables.Hold]
WaitingPage = schemas.Page[schemas.Waiting]


@router.get("/queue", response_model=WaitingPage)
async def show_queue(
    looker: LookerOf, settings: SettingsOf, *, limit: Annotated[int, Query(ge=1, le=500)] = 25
) -> Response:
    """The waiting jobs in the order in which they will start, and why each waits.

    Of each sort of slot the first `limit`, and as many of your own wherever they stand, with those that need other
    jobs at the end; of others' jobs only owner, kind, priority and place.
    """
    return await looker.look(lambda session, viewer: paging.answer(waiting_jobs(session, viewer, settings, limit)))


def waiting_jobs(session: OrmSession, viewer: tables.User, settings: Settings, limit: int) -> WaitingPage:
    """The queue as one user sees it."""
    seen = queue.look(session, viewer, silence=settings.lease_seconds, limit=limit)
    around = waiting.Around(seen, waiting.offers(seen.living, seen.holds))
    queued = [waiting.queued(job, around) for job in seen.waiting]
    return WaitingPage.model_validate({"data": [*queued, *(waiting.blocked(job, viewer.name) for job in seen.blocked)]})


@router.get("/workers", dependencies=[signed_in])
def list_workers(session: Session, settings: SettingsOf) -> schemas.Page[schemas.Worker]:
    """The worker processes and their slots."""
    silence = timedelta(seconds=settings.lease_seconds)
    rows = workers.workers(session)
    return schemas.Page(data=_workers(rows, workers.holds(session), surroundings.now(session), silence))


def _workers(rows: Sequence[tables.Worker], held: Holds, now: datetime, silence: timedelta) -> list[schemas.Worker]:
    """Worker processes; one that was not heard of for longer than `silence` counts as dead."""
    return [
        schemas.Worker(
            id=row.id,
            host=row.host,
            version=row.version,
            alive=now - row.seen_at <= silence,
            slots=[
                schemas.Slot(
                    name=slot["name"],
                    device=slot["device"],
                    takes=slot["takes"],
                    busy=slot.get("job") is not None,
                    out=bool(slot.get("avoided") or workers.hold_over(held, row.host, slot["name"])),
                )
                for slot in row.slots["slots"]
            ],
            started_at=row.started_at,
            seen_at=row.seen_at,
        )
        for row in rows
    ]
