"""Several jobs beside each other: curves over curves, and where their specs differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session as OrmSession

from api.auth import Session
from api.pages.copies import in_order
from api.pages.differences import ABSENT, fields
from api.pages.model import robust_figures
from api.pages.paper import Printed, page
from api.pages.visitor import VisitorOf
from core.charts import metric_curves
from core.figures import Figure
from store.errors import NotFound
from store.jobs import read
from store.tables import Job, User

router = APIRouter(route_class=Printed, include_in_schema=False)

MOST = 12
"""Jobs; more lines than that nobody tells apart."""
POINTS = 500
RECENT = 30


@router.get("/compare")
def compare(
    request: Request,
    session: Session,
    visitor: VisitorOf,
    job: Annotated[list[str], Query(max_length=100)] = [],  # noqa: B006
) -> Response:
    """The page."""
    jobs, unknown = _found(session, visitor.user, list(dict.fromkeys(one.strip() for one in job if one.strip())))
    labels = _labels(jobs)
    return page(
        request,
        visitor,
        "compare.html.j2",
        jobs=jobs,
        labels=labels,
        unknown=unknown,
        recent=read.page(session, visitor.user, owner=visitor.user.id, kinds=("train", "evaluate"), limit=RECENT),
        figures=_curves(session, jobs, labels),
        robust=robust_figures({labels[one.id]: one for one in jobs if one.kind == "evaluate" and one.result}),
        alike=(alike := [one for one in jobs if one.kind == jobs[0].kind]),
        fields=_differing(alike) if len(alike) > 1 else {},
    )


def _found(session: OrmSession, viewer: User, ids: Sequence[str]) -> tuple[list[Job], list[str]]:
    """The jobs of these ids, a study's trainings in its place; and the ids that there are none of."""
    jobs: dict[str, Job] = {}
    unknown = []
    for id in ids:
        try:
            row = read.get(session, viewer, id)
        except NotFound:
            unknown.append(id)
            continue
        parts = [part for part in read.children(session, row) if part.kind in ("train", "evaluate")]
        jobs |= {one.id: one for one in parts or [row]}
    return list(jobs.values())[: MOST if len(ids) > 1 else 2 * MOST], unknown


def _labels(jobs: Sequence[Job]) -> dict[str, str]:
    """What to call each, different for each."""
    called = {job.id: job.name or job.node or f"{job.kind} {job.id[-7:]}" for job in jobs}
    twice = [name for name in called.values() if list(called.values()).count(name) > 1]
    return {id: f"{name} ({id[-7:]})" if name in twice else name for id, name in called.items()}


def _curves(session: OrmSession, jobs: Sequence[Job], labels: dict[str, str]) -> dict[str, Figure]:
    by_metric: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for job in jobs:
        for name, points in read.metrics(session, job.id, points=POINTS).items():
            by_metric.setdefault(name, {})[labels[job.id]] = points
    return {name: metric_curves(name, series) for name, series in by_metric.items()}


def _differing(jobs: Sequence[Job]) -> dict[str, list[Any]]:
    """Fields in which not all specs are alike, in the order of the jobs."""
    flat = [{field.pointer: field.value for field in fields(in_order(job.spec))} for job in jobs]
    names = dict.fromkeys(name for spec in flat for name in spec)
    found = {name: [spec.get(name, ABSENT) for spec in flat] for name in names}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}
