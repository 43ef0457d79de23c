"""Trained models."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api import inventory, lineage_schemas, paging, schemas
from api.auth import BlobsOf, Session, Viewer
from api.downloads import ANSWERS, Download
from api.links import Downloader
from api.routes.datasets import Sharing
from store import catalogue
from store.jobs import amend
from store.tables import Model

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
def list_models(
    session: Session, viewer: Viewer, *, limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> schemas.Page[schemas.Model]:
    """Newest first."""
    rows = catalogue.models(session, viewer, before=paging.decode(cursor), limit=limit + 1)
    shown = inventory.models(session, rows[:limit])
    return paging.page(rows, limit, lambda row: row.id, lambda row: shown[row.id])


@router.get("/{model_id}")
def show_model(model_id: str, session: Session, viewer: Viewer) -> schemas.MadeModel:
    """A model, with its provenance."""
    row = catalogue.get_model(session, viewer, model_id)
    made = inventory.models(session, [row])[row.id]
    return schemas.MadeModel(**made.model_dump(), provenance=inventory.provenance(session, row.job_id))


@router.get("/{model_id}/lineage")
def show_model_lineage(model_id: str, session: Session, viewer: Viewer) -> lineage_schemas.Lineage:
    """Where a model comes from: jobs, specs, seeds, hashes and versions, back to what no job made."""
    return inventory.lineage_of(session, viewer, catalogue.get_model(session, viewer, model_id))


@router.patch("/{model_id}")
def change_model(model_id: str, body: Sharing, session: Session, viewer: Viewer) -> schemas.Model:
    """Share a model that a job of yours trained with the lab, or no longer."""
    row = amend.share_made(session, viewer, Model, model_id, shared=body.shared)
    return inventory.models(session, [row])[row.id]


@router.get("/{model_id}/weights", response_class=Response, responses=ANSWERS)
@router.head("/{model_id}/weights", response_class=Response, include_in_schema=False)
def download_weights(model_id: str, session: Session, viewer: Downloader, blobs: BlobsOf) -> Response:
    """The weights, as safetensors."""
    row = catalogue.get_model(session, viewer, model_id)
    sha256 = inventory.models(session, [row])[row.id].sha256
    return Download(blobs, sha256=sha256, name=f"{row.id}.safetensors", media_type="application/octet-stream")
