"""Datasets: what there is, and of one its card, balance, pictures, norms, where it comes from, and downloads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Form, Query, Request, Response
from sqlalchemy.orm import Session as OrmSession

from api import inventory, paging, schemas
from api.auth import BlobsOf, Session
from api.pages import ancestry, pictures
from api.pages.paper import Printed, away, page
from api.pages.visitor import Visitor, VisitorOf, genuine
from api.problems import not_found
from api.routes.datasets import download_dataset
from api.routes.jobs import rings
from core.cards import DATASETS
from core.charts import class_balance, norm_histogram
from core.figures import Figure
from formats.arrivals import Split
from formats.card import FORMATS
from formats.images import ImageFile, ImageSplit, open_images
from store import catalogue, exports
from store.jobs import submit
from store.tables import Dataset

router = APIRouter(route_class=Printed, include_in_schema=False, prefix="/datasets")

SHOWN = 50
PICTURES = 60
"""Of the gallery, at once."""


@dataclass(frozen=True)
class Offer:
    """A format to download a dataset in."""

    name: str
    summary: str
    exact: bool
    size: int | None
    """Bytes; None while it was not made."""
    job: str | None
    """The export that is under way."""


@router.get("")
def index(
    request: Request,
    session: Session,
    visitor: VisitorOf,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """All that specs can name."""
    rows = catalogue.datasets(session, visitor.user, before=paging.decode(cursor), limit=SHOWN + 1)
    made = inventory.stored_datasets(session, rows[:SHOWN])
    shown = paging.page(rows, SHOWN, lambda row: row.id, lambda row: made[row.id])
    built_in = [] if cursor else [inventory.built_in_dataset(entry) for entry in DATASETS.cards()]
    makers = ancestry.names(session, visitor.user, [row.job_id for row in rows])
    return page(request, visitor, "datasets.html.j2", built_in=built_in, datasets=shown, makers=makers)


@router.get("/{dataset_id}")
def show(
    dataset_id: str,
    request: Request,
    session: Session,
    visitor: VisitorOf,
    blobs: BlobsOf,
    *,
    of_class: Annotated[str, Query(alias="class", max_length=10)] = "",
    split: Split = "train",
    start: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> Response:
    """One of them."""
    if dataset_id in DATASETS.names():
        return _shown(request, visitor, inventory.built_in_dataset(DATASETS.get(dataset_id)))
    row = catalogue.get_dataset(session, visitor.user, dataset_id)
    dataset = inventory.stored_datasets(session, [row])[row.id]
    if dataset.sha256 is None or row.job_id is None:
        return _shown(request, visitor, dataset)
    images = open_images(blobs.fetch(dataset.sha256))
    chosen = int(of_class) if of_class.isdecimal() and int(of_class) < len(images.classes) else None
    shown = images.test if split == "test" and images.test is not None else images.train
    gallery = pictures.gallery(shown, images.classes, chosen, start, PICTURES)
    return page(
        request,
        visitor,
        "dataset.html.j2",
        dataset=dataset,
        figures=_figures(images.train, images.classes),
        gallery=gallery,
        splits=[one.name for one in images.splits],
        split=shown.name,
        offers=_offers(session, visitor, row, dataset, images),
        lineage=ancestry.tree(session, visitor.user, row.job_id),
        maker=ancestry.names(session, visitor.user, [row.job_id]).get(row.job_id, ""),
    )


@router.post("/{dataset_id}/exports", dependencies=[genuine, rings])
def export(
    dataset_id: str, request: Request, session: Session, visitor: VisitorOf, format: Annotated[str, Form()] = ""
) -> Response:
    """Have it written in a format; the export's page tells when it is there."""
    if format not in FORMATS.names():
        raise not_found("format")
    row = catalogue.get_dataset(session, visitor.user, dataset_id)
    job = exports.export_job(session, row, format, viewer=visitor.user)  # type: ignore[arg-type]
    if job is None:
        spec = exports.export_spec(row, format)  # type: ignore[arg-type]
        job = submit.submit(session, owner=visitor.user, spec=spec).job
    return away(request, f"/jobs/{job.id}" if job.finished_at is None else f"/datasets/{dataset_id}#downloads")


@router.get("/{dataset_id}/download")
def download(
    dataset_id: str, session: Session, visitor: VisitorOf, blobs: BlobsOf, *, format: str = "safetensors"
) -> Response:
    """The file, as the API gives it."""
    if format not in FORMATS.names():
        raise not_found("format")
    return download_dataset(dataset_id, session, visitor.user, blobs, format=format)  # type: ignore[arg-type]


def _shown(request: Request, visitor: Visitor, dataset: schemas.Dataset) -> Response:
    """Of what no job made there are no pictures here: its files are read by workers alone."""
    empty: dict[str, Any] = {"figures": [], "gallery": None, "offers": [], "lineage": None, "maker": "", "splits": []}
    return page(request, visitor, "dataset.html.j2", dataset=dataset, **empty)


def _figures(images: ImageSplit, classes: tuple[str, ...]) -> list[Figure]:
    counts = np.bincount(images.labels, minlength=len(classes))
    found = [class_balance(classes, counts.tolist())]
    norms = images.columns.get("norm")
    if norms is not None and len(norms):
        finite = norms[np.isfinite(norms.astype(np.float64))]
        counted, edges = np.histogram(finite, bins=40)
        found.append(norm_histogram(edges.tolist(), counted.tolist(), left_out=len(norms) - len(finite)))
    return found


def _offers(
    session: OrmSession, visitor: Visitor, row: Dataset, dataset: schemas.Dataset, images: ImageFile
) -> list[Offer]:
    """Every format, with its size where it is there."""
    found = []
    for card in FORMATS.cards():
        if card.name == "safetensors":
            size, job = dataset.size, None
        else:
            file = exports.export_file(session, row, card.name)  # type: ignore[arg-type]
            running = None if file else exports.export_job(session, row, card.name, viewer=visitor.user)  # type: ignore[arg-type]
            size, job = file.size if file else None, running.id if running else None
        found.append(Offer(card.name, card.summary, card.keeps(images), size, job))
    return found
