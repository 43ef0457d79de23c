"""Slots: what runs where, how the GPUs are, and what an admin keeps from taking work."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api import schemas, slot_schemas, views
from api.auth import Admin, Session, SettingsOf, Viewer, admins_only
from api.idempotency import Repeatable
from api.routes.jobs import rings
from api.submission import Text
from store import tables, workers
from store.jobs import surroundings

router = APIRouter(prefix="/v1/slots", tags=["slots"], route_class=Repeatable)


class Where(BaseModel):
    """A host, or one slot of it."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    host: Annotated[Text, Field(min_length=1)]
    slot: Text = ""
    """Such as `cuda:3`; empty for the whole host."""


class NewHold(Where):
    """What to keep from taking work, and how."""

    drain: bool = False
    """Let what runs there stop at its next checkpoint and go on elsewhere; else it runs to its end."""
    reason: Text = ""
    """Shown to everybody."""


@router.get("")
def list_slots(session: Session, viewer: Viewer, settings: SettingsOf) -> schemas.Page[slot_schemas.PlaceOfWork]:
    """Every slot of every living worker: what runs there, how its GPU is, and why it takes nothing."""
    living = sorted(workers.living(session, settings.lease_seconds), key=lambda worker: (worker.host, worker.id))
    jobs = surroundings.running(session, [slot.get("job") for worker in living for slot in worker.slots["slots"]])
    held = workers.holds(session)
    places = [
        _slot(viewer, worker, slot, jobs.get(slot.get("job")), workers.hold_over(held, worker.host, slot["name"]))
        for worker in living
        for slot in worker.slots["slots"]
    ]
    return schemas.Page(data=places)


@router.get("/holds")
def list_holds(session: Session, viewer: Viewer) -> schemas.Page[slot_schemas.Hold]:
    """Hosts and slots that an admin keeps from taking work, those of hosts that are away too."""
    del viewer
    return schemas.Page(data=[_hold(row) for row in workers.holds(session).values()])


@router.post("/hold", dependencies=[rings])
def hold_slot(body: NewHold, session: Session, viewer: Admin) -> schemas.Page[slot_schemas.Hold]:
    """Keep a host or a slot from taking new work. What runs there runs to its end, or (`drain`) moves on. Admins only.

    Gives every hold that there is now.
    """
    workers.hold(session, viewer, host=body.host, slot=body.slot, drain=body.drain, reason=body.reason)
    return list_holds(session, viewer)


@router.post("/release", dependencies=[rings, admins_only])
def release_slot(body: Where, session: Session, viewer: Viewer) -> schemas.Page[slot_schemas.Hold]:
    """Let a host or a slot take work again. Admins only. Gives the holds that are left."""
    workers.release(session, host=body.host, slot=body.slot)
    return list_holds(session, viewer)


def _slot(
    viewer: tables.User,
    worker: tables.Worker,
    place: tables.Json,
    running: tuple[tables.Job, str] | None,
    held: tables.Hold | None,
) -> slot_schemas.PlaceOfWork:
    """A slot as its worker described it last, what runs there with its owner's name, and what an admin asked of it."""
    row, owner = running or (None, None)
    mine = row is not None and (viewer.role == "admin" or row.owner_id == viewer.id)
    state: Literal["free", "busy", "held", "draining", "avoided"] = "free" if row is None else "busy"
    why = ""
    if held is not None:
        state = "draining" if held.drain and row is not None else "held"
        why = f"held by {held.held_by}" + (f": {held.reason}" if held.reason else "")
    elif place.get("avoided"):
        state, why = "avoided", place["avoided"]
    return slot_schemas.PlaceOfWork(
        host=worker.host,
        name=place["name"],
        worker=worker.id,
        device=place["device"],
        takes=place["takes"],
        state=state,
        why=why,
        job=row.id if row is not None and mine else None,
        kind=None if row is None else row.kind,
        owner=owner,
        progress=None if row is None else views.progress(row),
        card=None if place.get("card") is None else _card(place["card"]),
        hold=None if held is None else _hold(held),
        seen_at=worker.seen_at,
    )


def _hold(row: tables.Hold) -> slot_schemas.Hold:
    """What an admin keeps from taking work."""
    return slot_schemas.Hold(
        host=row.host, slot=row.slot, drain=row.drain, reason=row.reason, by=row.held_by, since=row.since
    )


def _card(card: tables.Json) -> slot_schemas.Card:
    return slot_schemas.Card(memory_total=card["total"], memory_used=card["used"], **card)
