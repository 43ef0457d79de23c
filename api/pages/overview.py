"""The first page: my jobs, the queue with place and reason, and what the slots do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api import paging, views
from api.auth import DatabaseOf, Session, SettingsOf
from api.pages.paper import Printed, page
from api.pages.streams import changes, stream
from api.pages.visitor import VisitorOf, WatcherOf
from api.routes.queue import waiting_jobs
from api.routes.slots import list_slots
from core.planning import submittable_kinds
from store import limits
from store.database import Database
from store.jobs import pulse, read
from store.lifecycle import State

router = APIRouter(route_class=Printed, include_in_schema=False)

SHOWN = 30
QUEUED = 20

FILTERS = {
    "": (),
    "active": ("running", "queued", "blocked", "paused"),
    "succeeded": ("succeeded",),
    "failed": ("failed", "cancelled", "skipped"),
}


@router.get("/")
def overview(
    request: Request,
    session: Session,
    visitor: VisitorOf,
    settings: SettingsOf,
    *,
    state: str = "",
    kind: str = "",
    whose: str = "",
    parts: bool = False,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """The page. `whose=all` is for admins; `parts` shows studies' jobs as well."""
    everybody = visitor.admin and whose == "all"
    kinds = [one.name for one in submittable_kinds()]
    states = FILTERS.get(state) or ((state,) if state in list(State) else ())
    rows = read.page(
        session,
        visitor.user,
        states=states,
        kinds=(kind,) if kind in kinds else (),
        owner=None if everybody else visitor.user.id,
        top_level=not parts,
        before=paging.decode(cursor),
        limit=SHOWN + 1,
    )
    jobs = paging.page(views.job_rows(session, rows), SHOWN, lambda job: job.id, lambda job: job)
    return page(
        request,
        visitor,
        "overview.html.j2",
        jobs=jobs,
        waiting=waiting_jobs(session, visitor.user, settings, QUEUED).data,
        slots=list_slots(session, visitor.user, settings).data,
        maintenance=limits.policy(session).maintenance,
        filters=list(FILTERS),
        kinds=kinds,
        chosen={"state": state, "kind": kind, "whose": whose, "parts": parts, "cursor": cursor},
        live="/live",
    )


@router.get("/live")
def live(database: DatabaseOf, watcher: WatcherOf) -> Response:
    """Tells that something on the first page may have changed."""

    def look(database: Database) -> str:
        with database.transaction() as session:
            return pulse.of_lab(session, watcher.user)

    return stream(changes(database, look))
