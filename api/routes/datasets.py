"""Datasets that specs can name: built-in ones, registered folders, what jobs made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api import inventory, lineage_schemas, paging, schemas
from api.auth import Admin, BlobsOf, Session, Viewer
from api.downloads import ANSWERS, Download
from api.idempotency import Repeatable
from api.links import Downloader
from api.pointers import FieldError
from api.problems import Problem, invalid
from core.cards import DATASETS
from core.errors import DataUnavailable
from formats.card import FORMATS
from sieve.specs import FormatName
from store import catalogue, exports
from store.jobs import amend, surroundings
from store.tables import Artifact, Dataset

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=Repeatable)


class Folder(BaseModel):
    """An image folder on the server: `train/<class>/*` and, where there is one, `test/<class>/*`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str
    """What specs will call it."""
    folder: Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
    """Its path on the server."""


@router.get("")
def list_datasets(
    session: Session, viewer: Viewer, *, limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> schemas.Page[schemas.Dataset]:
    """The first page begins with the built-in ones, beyond its limit; then registered and made ones, newest first."""
    rows = catalogue.datasets(session, viewer, before=paging.decode(cursor), limit=limit + 1)
    shown = inventory.stored_datasets(session, rows[:limit])
    page = paging.page(rows, limit, lambda row: row.id, lambda row: shown[row.id])
    if cursor is None:
        page.data[:0] = [inventory.built_in_dataset(entry) for entry in DATASETS.cards()]
    return page


@router.post("", status_code=201)
def register_folder(body: Folder, session: Session, admin: Admin) -> schemas.Dataset:
    """Give an image folder of the server a name that specs can use."""
    try:
        row = catalogue.register_folder(session, admin, body.name, Path(body.folder))
    except DataUnavailable as error:
        raise invalid([FieldError(pointer="/folder", message=str(error))]) from None
    session.refresh(row)
    return inventory.stored_datasets(session, [row])[row.id]


@router.get("/{dataset_id}")
def show_dataset(dataset_id: str, session: Session, viewer: Viewer) -> schemas.MadeDataset:
    """A dataset by its name or id, with its provenance."""
    if dataset_id in DATASETS.names():
        built_in = inventory.built_in_dataset(DATASETS.get(dataset_id))
        return schemas.MadeDataset(**built_in.model_dump(), provenance=None)
    row = catalogue.get_dataset(session, viewer, dataset_id)
    made = inventory.stored_datasets(session, [row])[row.id]
    return schemas.MadeDataset(**made.model_dump(), provenance=inventory.provenance(session, row.job_id))


@router.get("/{dataset_id}/lineage")
def show_lineage(dataset_id: str, session: Session, viewer: Viewer) -> lineage_schemas.Lineage:
    """Where a dataset comes from: jobs, specs, seeds, hashes and versions, back to what no job made."""
    return inventory.lineage_of(session, viewer, catalogue.get_dataset(session, viewer, dataset_id))


class Sharing(BaseModel):
    """Who may use something."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    shared: bool
    """May everybody in the lab use it?"""


@router.patch("/{dataset_id}")
def change_dataset(dataset_id: str, body: Sharing, session: Session, viewer: Viewer) -> schemas.Dataset:
    """Share a dataset that a job of yours made with the lab, or no longer."""
    row = amend.share_made(session, viewer, Dataset, dataset_id, shared=body.shared)
    return inventory.stored_datasets(session, [row])[row.id]


@router.get("/{dataset_id}/download", response_class=Response, responses=ANSWERS)
@router.head("/{dataset_id}/download", response_class=Response, include_in_schema=False)
def download_dataset(
    dataset_id: str,
    session: Session,
    viewer: Downloader,
    blobs: BlobsOf,
    *,
    format: Annotated[FormatName, Query(description="See `/v1/formats`.")] = "safetensors",
) -> Response:
    """The file of a dataset that a job made; in other formats than safetensors once it was exported."""
    row = None if dataset_id in DATASETS.names() else catalogue.get_dataset(session, viewer, dataset_id)
    if row is None or row.artifact_id is None:
        raise Problem(409, "no_file", f"{dataset_id} is no single file: only what a job made can be downloaded")
    if format == "safetensors":
        file: Artifact | None = surroundings.artifacts(session, [row.artifact_id])[row.artifact_id]
    else:
        file = exports.export_file(session, row, format)
    if file is None:
        where = f"/v1/datasets/{row.id}/exports"
        detail = f'{row.id} was not exported as {format} yet: POST {{"format": "{format}"}} to {where}'
        raise Problem(409, "not_exported", detail, headers={"Link": f'<{where}>; rel="create-form"'})
    name = f"{row.id}{FORMATS.get(format).suffix}" if format == "safetensors" else file.name
    return Download(blobs, sha256=file.sha256, name=name, media_type=file.media_type)
