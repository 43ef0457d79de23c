"""What comes of a job: events, curves, log, files, report."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from api import schemas, streams, views
from api.auth import BlobsOf, DatabaseOf, Session, Viewer, WaitingViewer
from api.downloads import Download
from api.problems import Problem
from core.cards import KINDS
from store.jobs import read, surroundings
from store.lifecycle import TERMINAL

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])

ReportFormat = Literal["json", "md", "html"]
REPORT_TYPES: dict[str, ReportFormat] = {"text/html": "html", "text/markdown": "md", "application/json": "json"}


@router.get(
    "/events",
    response_model=schemas.EventPage,
    responses={200: {"content": {"text/event-stream": {}, "application/x-ndjson": {}}}},
)
async def list_events(
    job_id: str,
    database: DatabaseOf,
    viewer: WaitingViewer,
    *,
    accept: Annotated[str, Header()] = "application/json",
    after: Annotated[int, Query(ge=0, lt=2**63, description="Only events with a higher id.")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Of a JSON page.")] = 1000,
    last_event_id: Annotated[int | None, Header(ge=0, lt=2**63, description="As `after`.")] = None,
) -> Any:
    """A job's events: a JSON page, or by `Accept` a stream that follows the job until it has ended.

    `text/event-stream` ends with an event called `end`; `application/x-ndjson` has one event a line.
    """
    after = after if last_event_id is None else last_event_id

    def look() -> schemas.EventPage:
        with database.transaction() as session:
            job = read.get(session, viewer, job_id)
            rows = read.events(session, job.id, after=after, limit=limit)
            over = job.state in TERMINAL and len(rows) < limit
            return schemas.EventPage(
                data=[views.event(row) for row in rows], next=None if over else rows[-1].id if rows else after
            )

    page = await run_in_threadpool(look)  # also where a stream follows: it says whether there is such a job
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Vary": "Accept"}
    if "text/event-stream" in accept:
        stream = streams.server_sent(database, job_id, after)
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
    if "application/x-ndjson" in accept:
        return StreamingResponse(
            streams.lines(database, job_id, after), media_type="application/x-ndjson", headers=headers
        )
    return JSONResponse(page.model_dump(mode="json"), headers={"Vary": "Accept"})


@router.get("/metrics")
def list_metrics(
    job_id: str,
    session: Session,
    viewer: Viewer,
    *,
    name: Annotated[list[str] | None, Query(description="Only these curves.")] = None,
    points: Annotated[int, Query(ge=2, le=10_000, description="Of a curve, at about the most.")] = 1000,
) -> schemas.Metrics:
    """A job's curves, thinned out on the server."""
    job = read.get(session, viewer, job_id)
    return schemas.Metrics(metrics=read.metrics(session, job.id, names=name or (), points=points))


@router.get("/logs", response_class=PlainTextResponse)
def show_log(job_id: str, session: Session, viewer: Viewer) -> str:
    """A job's log, a line a message."""
    job = read.get(session, viewer, job_id)
    return "".join(f"{event.data['message']}\n" for event in surroundings.log(session, job.id))


@router.get("/artifacts")
def list_artifacts(job_id: str, session: Session, viewer: Viewer) -> schemas.Page[schemas.Artifact]:
    """The files that a job made; of a study, those of all its jobs."""
    job = read.get(session, viewer, job_id)
    return schemas.Page(data=[views.artifact(file) for file in surroundings.files(session, job)])


@router.get("/report", response_class=Response)
def show_report(
    job_id: str,
    request: Request,
    session: Session,
    viewer: Viewer,
    blobs: BlobsOf,
    *,
    format: Annotated[ReportFormat | None, Query(description="Else by `Accept`; JSON in doubt.")] = None,
) -> Response:
    """A study's report, once the study has succeeded."""
    chosen = format or _accepted(request.headers.get("accept", ""))
    job = read.get(session, viewer, job_id)
    for file in surroundings.files(session, job):
        if file.artifact.role == "report" and file.artifact.name == f"report.{chosen}":
            response = Download(
                blobs,
                sha256=file.artifact.sha256,
                name=file.artifact.name,
                media_type=file.artifact.media_type,
                inline=True,
            )
            response.headers["Vary"] = "Accept"
            return response
    if job.state not in TERMINAL and _reports(job.kind):
        raise Problem(409, "not_ready", f"{job.id} is {job.state}: its report is the last thing that it makes")
    raise Problem(404, "no_report", f"{job.id} is a {job.kind} that is {job.state}: it has made no report")


def _reports(kind: str) -> bool:
    """Does a job of this kind end in a report?"""
    return kind in ("report", "conclusion") or (kind in KINDS.names() and KINDS.get(kind).expand is not None)


def _accepted(accept: str) -> ReportFormat:
    """The first format that the client names."""
    for part in accept.split(","):
        named = REPORT_TYPES.get(part.partition(";")[0].strip())
        if named is not None:
            return named
    return "json"
