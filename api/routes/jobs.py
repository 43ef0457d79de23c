"""Submit jobs, find them, wait for them, ask things of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Body, Depends, Header, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy.orm import Session as OrmSession

from api import paging, plans, schemas, views
from api.auth import BellOf, Session, Viewer, admins_only
from api.idempotency import IdempotencyKey, Repeatable, body_sha256
from api.looking import LookerOf
from api.pointers import FieldError
from api.problems import invalid
from api.submission import Labels, Text, parse_submission
from store import accounts, estimates, tables
from store.jobs import amend, delete, read, submit, wish
from store.lifecycle import TERMINAL, State

LONGEST_WAIT = 60.0
LOOK_SECONDS = 0.2


def _rings(bell: BellOf) -> Iterator[None]:
    """Wake the workers once the transaction is committed: this is entered before it, and left after it."""
    yield
    bell.ring()


router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=Repeatable)
rings = Depends(_rings, scope="function")


class Changes(BaseModel):
    """What changes of a job. What is not given stays."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Text | None = None
    labels: Labels | None = None
    """In place of all that it has."""
    shared: bool | None = None
    """May everybody in the lab look at it, and use what it makes?"""


@router.post(
    "",
    status_code=202,
    dependencies=[rings],
    response_model=schemas.Job | plans.Plan,
    responses={200: {"model": plans.Plan, "description": "What a dry run would make"}},
)
def submit_job(
    body: Annotated[Any, Body()],
    session: Session,
    viewer: Viewer,
    response: Response,
    *,
    dry_run: Annotated[bool, Query(description="Check and plan only; make nothing.")] = False,
    idempotency_key: IdempotencyKey = None,
) -> schemas.Job | plans.Plan:
    """Submit a job: the fields of its spec, and beside them a name, labels, a priority and deadlines."""
    understood = parse_submission(body)
    if dry_run:
        response.status_code = 200
        planned = submit.plan(session, owner=viewer, spec=understood.spec, shards=understood.envelope.shards)
        return plans.plan(planned, estimates.of_plan(session, planned))
    submitted = submit.submit(
        session,
        owner=viewer,
        spec=understood.spec,
        name=understood.envelope.name,
        labels=understood.envelope.labels,
        priority=understood.envelope.priority,
        max_queue_seconds=understood.envelope.max_queue_time,
        max_run_seconds=understood.envelope.max_run_time,
        shards=understood.envelope.shards,
        idempotency=None if idempotency_key is None else (idempotency_key, body_sha256(body)),
    )
    response.headers["Location"] = f"/v1/jobs/{submitted.job.id}"
    return views.changed(session, viewer, submitted.job.id)


@router.get("", response_model=schemas.Page[schemas.JobRow])
async def list_jobs(
    looker: LookerOf,
    *,
    state: Annotated[str | None, Query(description="Such as running; several with commas between.")] = None,
    kind: Annotated[str | None, Query(description="Such as train; several with commas between.")] = None,
    owner: Annotated[str | None, Query(description="Name of a user.")] = None,
    label: Annotated[str | None, Query(description="KEY=VALUE.")] = None,
    study: Annotated[str | None, Query(description="Jobs of this study; `none` for jobs that are in none.")] = None,
    shared: Annotated[bool, Query(description="What anybody shares with the lab, instead of your own.")] = False,
    created_after: Annotated[AwareDatetime | None, Query(description="At this time or later; with its zone.")] = None,
    created_before: Annotated[AwareDatetime | None, Query(description="Before this time; with its zone.")] = None,
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
) -> Response:
    """Jobs in short, newest first."""

    def see(session: OrmSession, viewer: tables.User) -> Response:
        owner_id = None
        if owner is not None:
            user = accounts.find_user(session, owner)
            if user is None:
                return paging.answer(schemas.Page[schemas.JobRow](data=[]))
            owner_id = user.id
        rows = read.page(
            session,
            viewer,
            states=_states(state),
            kinds=kind.split(",") if kind else (),
            owner=owner_id,
            label=_label(label),
            study=None if study == "none" else study,
            top_level=study == "none",
            shared=shared,
            created_after=created_after,
            created_before=created_before,
            before=paging.decode(cursor),
            limit=limit + 1,
        )
        return paging.answer(paging.page(views.job_rows(session, rows), limit, lambda job: job.id, lambda job: job))

    return await looker.look(see)


@router.get("/{job_id}", response_model=schemas.Job)
async def show_job(
    job_id: str,
    looker: LookerOf,
    *,
    prefer: Annotated[str | None, Header(description="`wait=N`: answer when the job has ended, or after N s.")] = None,
) -> Response:
    """A job, whole. Waits without holding a connection."""
    wait = _wait(prefer)

    def see(session: OrmSession, viewer: tables.User) -> Response | None:
        row = read.whole(session, viewer, job_id)
        if not last and row["state"] not in TERMINAL:
            return None
        answer = paging.answer(views.job(session, row))
        if wait is not None:
            answer.headers["Preference-Applied"] = f"wait={wait:g}"
        return answer

    until = time.monotonic() + (wait or 0)
    while True:
        last = time.monotonic() >= until
        answer = await looker.look(see)
        if answer is not None:
            return answer
        await anyio.sleep(min(LOOK_SECONDS, max(until - time.monotonic(), 0)))


@router.patch("/{job_id}")
def change_job(job_id: str, body: Changes, session: Session, viewer: Viewer) -> schemas.Job:
    """Give a job another name or other labels, or share it with the lab: a study with all its jobs, and all that they
    made and will make."""
    row = read.own(session, viewer, job_id)
    amend.amend(session, row, name=body.name, labels=body.labels)
    if body.shared is not None:
        amend.share(session, row, shared=body.shared)
    return views.changed(session, viewer, row.id)


@router.delete("/{job_id}", status_code=204)
def delete_job(job_id: str, session: Session, viewer: Viewer) -> None:
    """Forget an ended job and all that it made; of a study, all its jobs. Not while others need what it made."""
    delete.delete_job(session, read.own(session, viewer, job_id))


@router.post("/{job_id}/cancel", dependencies=[rings])
def cancel_job(job_id: str, session: Session, viewer: Viewer) -> schemas.Job:
    """End a job; of a study, all its jobs. A running one ends at its next chance."""
    return _asked(session, viewer, job_id, wish.cancel)


@router.post("/{job_id}/pause", dependencies=[rings])
def pause_job(job_id: str, session: Session, viewer: Viewer) -> schemas.Job:
    """Keep a job from running; a running one stops at its next safe point, with a checkpoint."""
    return _asked(session, viewer, job_id, wish.pause)


@router.post("/{job_id}/resume", dependencies=[rings])
def resume_job(job_id: str, session: Session, viewer: Viewer) -> schemas.Job:
    """Let a paused job go on."""
    return _asked(session, viewer, job_id, wish.resume)


@router.post("/{job_id}/retry", dependencies=[rings])
def retry_job(job_id: str, session: Session, viewer: Viewer) -> schemas.Job:
    """Try again what failed, was cancelled or was skipped, from its last checkpoint."""
    return _asked(session, viewer, job_id, wish.retry)


@router.post("/{job_id}/front", dependencies=[rings, admins_only])
def move_job_to_the_front(job_id: str, session: Session, viewer: Viewer) -> schemas.Job:
    """Let a job start before all others; of a study, all its jobs. Its owner's limits still hold. For admins."""
    return _asked(session, viewer, job_id, wish.front)


def _asked(
    session: OrmSession, viewer: tables.User, job_id: str, ask: Callable[[OrmSession, tables.Job], tables.Job]
) -> schemas.Job:
    return views.changed(session, viewer, ask(session, read.own(session, viewer, job_id)).id)


def _states(text: str | None) -> list[str]:
    states = text.split(",") if text else []
    for state in states:
        if state not in list(State):
            message = f"there is no state {state!r}; there are {', '.join(State)}"
            raise invalid([FieldError(pointer="state", message=message)])
    return states


def _label(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    key, equals, value = text.partition("=")
    if not equals or "\0" in text:
        raise invalid([FieldError(pointer="label", message="a label is KEY=VALUE, without a NUL character")])
    return key, value


def _wait(prefer: str | None) -> float | None:
    """Seconds that `Prefer: wait=N` (RFC 7240) asks for."""
    found = re.search(r"\bwait=(\d{1,6})\b", prefer or "")
    return min(float(found[1]), LONGEST_WAIT) if found else None
