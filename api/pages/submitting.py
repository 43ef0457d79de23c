"""Submit a job from a form: what is wrong stands beside its field, and what it will take is known before."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session as OrmSession

from api import plans
from api.auth import Session
from api.pages import forms
from api.pages.copies import shortened
from api.pages.paper import Printed, away, page, part
from api.pages.visitor import SentOf, Visitor, VisitorOf, genuine
from api.pointers import FieldError
from api.problems import Problem
from api.routes.jobs import rings
from api.submission import Submission, parse_submission
from core.cards import ARCHITECTURES, DATASETS, KINDS
from core.errors import SpecRefused
from core.planning import submittable_kinds
from sieve.specs import PRESET_SUMMARIES, PRESETS
from store import catalogue, estimates
from store.errors import Conflict, NotFound
from store.jobs import read, submit

router = APIRouter(route_class=Printed, include_in_schema=False, prefix="/new")

SUGGESTED = 50
_ORDER = ("study", "train", "synthesize", "evaluate")


@dataclass
class Answer:
    """What came of what was filled in."""

    plan: plans.Plan | None = None
    errors: dict[str, str] = field(default_factory=dict)
    """By input."""
    other: list[str] = field(default_factory=list)
    """What is wrong, but not with one input."""


@router.get("/{kind}")
def ask(
    kind: str, request: Request, session: Session, visitor: VisitorOf, *, preset: str = "digits", like: str = ""
) -> Response:
    """The form, empty or filled in as another job was."""
    form = _form(kind)
    values = {"preset": preset} if kind == "study" and preset in PRESETS else {}
    if like:
        job = read.get(session, visitor.user, like)
        if job.kind == kind:
            values = forms.filled_from(form, shortened(job.spec))
    else:
        given = {name: value for name, value in request.query_params.items() if name not in ("preset", "like")}
        values |= given
    return _shown(request, session, visitor, kind=kind, values=values, answer=Answer())


@router.post("/{kind}/estimate", dependencies=[genuine])
def check(kind: str, session: Session, visitor: VisitorOf, sent: SentOf) -> Response:
    """What a submission of this form would make and take, for the script beside it; nothing is made."""
    answer = _checked(session, visitor, kind, sent)
    html = part("plan.html.j2", plan=answer.plan) if answer.plan else ""
    pending = bool(answer.plan and answer.plan.estimate.pending)
    return JSONResponse({"html": html, "pending": pending, "errors": answer.errors, "other": answer.other})


@router.post("/{kind}", dependencies=[genuine, rings])
def send(kind: str, request: Request, session: Session, visitor: VisitorOf, sent: SentOf) -> Response:
    """Submit, and go to the job's page; or show the form again with what is wrong, or the estimate."""
    form, answer = _form(kind), Answer()
    if sent.get("do") == "check":
        answer = _checked(session, visitor, kind, sent)
        return _shown(request, session, visitor, kind=kind, values=sent, answer=answer)
    body = {"kind": kind, **forms.filled_in(form, sent)}
    try:
        with session.begin_nested():
            job = _submit(session, visitor, parse_submission(body), _once(sent.get("once", ""), body))
    except (Problem, SpecRefused, Conflict, NotFound) as error:
        _note(answer, form, error)
        return _shown(request, session, visitor, kind=kind, values=sent, answer=answer, status=422)
    return away(request, f"/jobs/{job}")


def _submit(session: OrmSession, visitor: Visitor, understood: Submission, once: str) -> str:
    envelope = understood.envelope
    submitted = submit.submit(
        session,
        owner=visitor.user,
        spec=understood.spec,
        name=envelope.name,
        labels=envelope.labels,
        priority=envelope.priority,
        max_queue_seconds=envelope.max_queue_time,
        max_run_seconds=envelope.max_run_time,
        shards=envelope.shards,
        idempotency=(f"page {once}", once),
    )
    return submitted.job.id


def _once(form: str, body: Mapping[str, Any]) -> str:
    """The button pressed twice makes one job; the same form with other values makes another."""
    return hashlib.sha256(json.dumps([form, body], sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def _checked(session: OrmSession, visitor: Visitor, kind: str, sent: Mapping[str, str]) -> Answer:
    form, answer = _form(kind), Answer()
    try:
        understood = parse_submission({"kind": kind, **forms.filled_in(form, sent)})
        planned = submit.plan(session, owner=visitor.user, spec=understood.spec, shards=understood.envelope.shards)
        answer.plan = plans.plan(planned, estimates.of_plan(session, planned))
    except (Problem, SpecRefused, Conflict) as error:
        _note(answer, form, error)
    return answer


def _note(answer: Answer, form: forms.Group, error: Exception) -> None:
    found: Sequence[FieldError] = ()
    if isinstance(error, SpecRefused):
        found = [FieldError(pointer=error.pointer, message=error.message)]
    elif isinstance(error, Problem):
        found = error.errors
    if not found:
        answer.other.append(str(error))
    for one in found:
        name = forms.field_at(form, one.pointer)
        if name:
            answer.errors[name] = one.message
        else:
            answer.other.append(f"{one.pointer.strip('/')}: {one.message}".removeprefix(": "))


def _form(kind: str) -> forms.Group:
    if kind not in {one.name for one in submittable_kinds()}:
        raise NotFound("kind of job", kind)
    return forms.form_of(kind)


def _shown(
    request: Request,
    session: OrmSession,
    visitor: Visitor,
    *,
    kind: str,
    values: Mapping[str, str],
    answer: Answer,
    status: int = 200,
) -> Response:
    form = _form(kind)
    return page(
        request,
        visitor,
        "new.html.j2",
        status=status,
        kind=kind,
        kinds=sorted(submittable_kinds(), key=lambda one: _ORDER.index(one.name) if one.name in _ORDER else 99),
        summary=KINDS.get(kind).summary,
        form=form,
        filled=values,
        answer=answer,
        suggestions=_suggestions(session, visitor),
        presets=json.loads(json.dumps(forms.presets(form))) if kind == "study" else {},
        preset_summaries=PRESET_SUMMARIES,
        once=secrets.token_urlsafe(16),
    )


def _suggestions(session: OrmSession, visitor: Visitor) -> dict[str, list[tuple[str, str]]]:
    """Names that specs may use, each with what it is."""
    stored = catalogue.datasets(session, visitor.user, limit=SUGGESTED)
    models = catalogue.models(session, visitor.user, limit=SUGGESTED)
    nodes = {job.id: job.node or job.name for job in _makers(session, visitor, [*stored, *models])}
    return {
        "datasets": [
            *((entry.name, entry.summary) for entry in DATASETS.cards()),
            *((row.name or row.id, nodes.get(row.job_id or "", "")) for row in stored),
        ],
        "models": [(row.id, nodes.get(row.job_id or "", "")) for row in models],
        "architectures": [(entry.name, entry.summary) for entry in ARCHITECTURES.cards()],
        "uploads": [],
    }


def _makers(session: OrmSession, visitor: Visitor, rows: Sequence[Any]) -> list[Any]:
    ids = [row.job_id for row in rows if row.job_id]
    return read.some(session, visitor.user, ids)
