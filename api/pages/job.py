"""A job: where it stands and why, its curves while they grow, its log, its spec beside another's, its files."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session as OrmSession

from api import schemas, streams, views
from api.auth import BlobsOf, DatabaseOf, Session
from api.downloads import Download
from api.pages import differences, study
from api.pages.copies import copies, in_order
from api.pages.paper import Printed, away, page
from api.pages.streams import stream
from api.pages.visitor import VisitorOf, WatcherOf, genuine
from api.problems import not_found
from api.routes.jobs import rings
from core.charts import metric_curves
from core.figures import Figure
from store import tables
from store.errors import NotFound
from store.jobs import delete, read, surroundings, wish
from store.lifecycle import TERMINAL, State

router = APIRouter(route_class=Printed, include_in_schema=False, prefix="/jobs/{job_id}")

POINTS = 400
"""Of a curve, at about the most: more than there are pixels to draw them on."""
LINES = 500
"""Of the log, the last ones."""

_VERBS = {"cancel": wish.cancel, "pause": wish.pause, "resume": wish.resume, "retry": wish.retry, "front": wish.front}


@router.get("")
def show(
    job_id: str,
    request: Request,
    session: Session,
    visitor: VisitorOf,
    blobs: BlobsOf,
    *,
    against: Annotated[str, Query(max_length=200)] = "",
    of_class: Annotated[str, Query(alias="class", max_length=10)] = "",
    index: int = 0,
) -> Response:
    """The page of a job; a study has one of its own."""
    row = read.get(session, visitor.user, job_id)
    job = views.job(session, read.whole(session, visitor.user, job_id))
    other, wrong = _other(session, visitor.user, against.strip())
    curves = read.metrics(session, job.id, points=POINTS)
    log = surroundings.log(session, job.id, last=LINES)
    values: dict[str, Any] = {
        "job": job,
        "mine": visitor.owns(job.owner),
        "verbs": verbs(job, admin=visitor.admin) if visitor.owns(job.owner) else [],
        "figures": metric_figures(curves),
        "files": [views.artifact(file) for file in surroundings.files(session, row)],
        "log": log,
        "log_left_out": surroundings.lines_of_log(session, job.id) - len(log) if len(log) == LINES else 0,
        "fields": differences.fields(in_order(job.spec), other),
        "against": against,
        "against_wrong": wrong,
        "copies": copies(job.spec, str(request.base_url).rstrip("/")),
        "live": None if job.state in TERMINAL else f"/jobs/{job.id}/events?after={row.last_event}",
        "seconds": job.gpu_seconds + job.cpu_seconds,
    }
    if row.kind != "study":
        return page(request, visitor, "job.html.j2", **values)
    values |= study.shown(session, row, job, blobs, of_class=of_class, index=index)
    values["live"] = None if job.state in TERMINAL else f"/jobs/{job.id}/changes"
    return page(request, visitor, "study.html.j2", **values)


@router.get("/events")
def events(
    job_id: str,
    request: Request,
    database: DatabaseOf,
    watcher: WatcherOf,
    *,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
) -> Response:
    """The job's own events, as the API streams them."""
    with database.transaction() as session:
        read.get(session, watcher.user, job_id)
    seen = request.headers.get("last-event-id", "")
    return stream(streams.server_sent(database, job_id, max(after, int(seen) if seen.isdecimal() else 0)))


@router.get("/report")
def report(job_id: str, session: Session, visitor: VisitorOf, blobs: BlobsOf) -> Response:
    """A study's self-contained report, locked up in itself."""
    row = read.get(session, visitor.user, job_id)
    for file in surroundings.files(session, row):
        made = file.artifact
        if made.name == "report.html" and made.role == "report":
            return Download(blobs, sha256=made.sha256, name=made.name, media_type=made.media_type, inline=True)
    raise not_found("report")


@router.post("/delete", dependencies=[genuine])
def forget(job_id: str, request: Request, session: Session, visitor: VisitorOf) -> Response:
    """Forget an ended job and all that it made."""
    delete.delete_job(session, read.own(session, visitor.user, job_id))
    return away(request, "/")


@router.post("/{verb}", dependencies=[genuine, rings])
def ask(job_id: str, verb: str, request: Request, session: Session, visitor: VisitorOf) -> Response:
    """Cancel, pause, resume, retry, or move to the front."""
    if verb not in _VERBS or (verb == "front" and not visitor.admin):
        raise not_found("page")
    row = read.own(session, visitor.user, job_id)
    _VERBS[verb](session, row)
    return away(request, f"/jobs/{row.id}")


def verbs(job: schemas.Job, *, admin: bool) -> list[str]:
    """What can be asked of a job in its state."""
    found = {
        State.BLOCKED: ["pause", "cancel"],
        State.QUEUED: ["pause", "cancel"],
        State.RUNNING: ["pause", "cancel"],
        State.PAUSED: ["resume", "cancel"],
        State.FAILED: ["retry"],
        State.CANCELLED: ["retry"],
        State.SKIPPED: ["retry"],
    }.get(job.state, [])
    waits = job.state in (State.BLOCKED, State.QUEUED) or (job.kind == "study" and job.state == State.RUNNING)
    return [*found, "front"] if admin and waits else list(found)


def metric_figures(curves: dict[str, list[tuple[int, float]]]) -> dict[str, Figure]:
    """By metric."""
    return {name: metric_curves(name, {name: points}) for name, points in curves.items()}


def _other(session: OrmSession, viewer: tables.User, id: str) -> tuple[tables.Json | None, str]:
    """The spec of the job to compare with, or why there is none."""
    if not id:
        return None, ""
    try:
        return read.get(session, viewer, id).spec, ""
    except NotFound as error:
        return None, str(error)
