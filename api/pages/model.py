"""Models: what there is, and of one its training, its accuracy under attack, what it confuses, where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session as OrmSession

from api import inventory, paging
from api.auth import BlobsOf, Session
from api.pages import ancestry
from api.pages.job import POINTS, metric_figures
from api.pages.paper import Printed, page
from api.pages.visitor import VisitorOf
from api.routes.models import download_weights
from core.charts import confusion, robust_curves
from core.errors import SpecRefused
from core.figures import Curve, Figure
from core.tables import number
from sieve.specs import DatasetRef
from store import catalogue
from store.figures import from_json
from store.jobs import read
from store.tables import Job, User

router = APIRouter(route_class=Printed, include_in_schema=False, prefix="/models")

SHOWN = 50
JUDGED = 20
"""Evaluations that are shown, the newest first."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found, in per cent."""

    id: str
    title: str
    images: int
    standard: str
    shifted: str
    noise: str


@router.get("")
def index(
    request: Request,
    session: Session,
    visitor: VisitorOf,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Newest first."""
    rows = catalogue.models(session, visitor.user, before=paging.decode(cursor), limit=SHOWN + 1)
    made = inventory.models(session, rows[:SHOWN])
    models = paging.page(rows, SHOWN, lambda row: row.id, lambda row: made[row.id])
    makers = ancestry.names(session, visitor.user, [row.job_id for row in rows])
    return page(request, visitor, "models.html.j2", models=models, makers=makers)


@router.get("/{model_id}")
def show(model_id: str, request: Request, session: Session, visitor: VisitorOf) -> Response:
    """One of them."""
    row = catalogue.get_model(session, visitor.user, model_id)
    model = inventory.models(session, [row])[row.id]
    judged = read.evaluations(session, visitor.user, [name for name in (row.id, row.job_id) if name], limit=JUDGED)
    matrix = next((job for job in judged if job.result and job.result.get("confusion")), None)
    return page(
        request,
        visitor,
        "model.html.j2",
        model=model,
        maker=ancestry.names(session, visitor.user, [row.job_id]).get(row.job_id or "", ""),
        lineage=ancestry.tree(session, visitor.user, row.job_id) if row.job_id else None,
        robust=robust_figures({_title(job): job for job in reversed(judged)}),
        confusion=None if matrix is None else _confusion(session, visitor.user, matrix),
        evaluations=[_evaluation(job) for job in judged],
        curves=metric_figures(read.metrics(session, row.job_id, points=POINTS)) if row.job_id else {},
    )


@router.get("/{model_id}/weights")
def weights(model_id: str, session: Session, visitor: VisitorOf, blobs: BlobsOf) -> Response:
    """The weights, as the API gives them."""
    return download_weights(model_id, session, visitor.user, blobs)


def robust_figures(judged: dict[str, Job]) -> list[Figure]:
    """A figure for each norm in which any of these evaluations attacked."""
    by_norm: dict[str, dict[str, Curve]] = {}
    for label, job in judged.items():
        result = from_json(job.result)
        for norm, held in result["robust"].items():
            epsilons = sorted(held, key=float)
            accuracy = (result["standard"], *(held[epsilon] for epsilon in epsilons))
            percent = tuple(100 * value for value in accuracy)
            by_norm.setdefault(norm, {})[label] = Curve(label, (0.0, *map(float, epsilons)), percent, ())
    return [robust_curves(series, norm) for norm, series in by_norm.items()]


def _title(job: Job) -> str:
    on = job.spec.get("dataset", {}).get("name", "")
    return f"{job.node or job.name or job.id} on {on}"


def _evaluation(job: Job) -> Evaluation:
    result: dict[str, Any] = from_json(job.result)
    noise = ", ".join(f"{sigma}: {number(100 * value)}" for sigma, value in sorted(result["noise"].items(), key=_first))
    standard, shifted = number(100 * result["standard"]), number(100 * result["shifted"])
    return Evaluation(job.id, _title(job), result["images"], standard, shifted, noise)


def _first(item: tuple[str, Any]) -> float:
    return float(item[0])


def _confusion(session: OrmSession, viewer: User, job: Job) -> Figure:
    assert job.result is not None
    counts: list[list[int]] = job.result["confusion"]
    return confusion(_classes(session, viewer, job, len(counts)), counts)


def _classes(session: OrmSession, viewer: User, job: Job, count: int) -> Sequence[str]:
    """Names of the classes, where the dataset is still there; else their numbers."""
    try:
        ref = DatasetRef.model_validate(job.spec["dataset"])
        return catalogue.DatabaseCatalogue(session, viewer).whole_dataset(ref).classes[:count]
    except SpecRefused:
        return [str(label) for label in range(count)]
