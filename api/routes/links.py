"""Links to downloads, for people and programs without a key: a browser, a notebook of somebody else."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import schemas
from api.auth import Session, Viewer
from api.links import Signer
from sieve.specs import FormatName
from store import catalogue
from store.jobs import read

router = APIRouter(prefix="/v1", tags=["results"])


@router.get("/artifacts/{artifact_id}/link")
def link_artifact(artifact_id: str, session: Session, viewer: Viewer, sign: Signer) -> schemas.Link:
    """A link to a file, good for a while and for whoever has it."""
    return sign(f"/v1/artifacts/{read.artifact(session, viewer, artifact_id).id}")


@router.get("/datasets/{dataset_id}/link")
def link_dataset(
    dataset_id: str,
    session: Session,
    viewer: Viewer,
    sign: Signer,
    *,
    format: Annotated[FormatName, Query(description="See `/v1/formats`.")] = "safetensors",
) -> schemas.Link:
    """A link to a dataset's file, good for a while and for whoever has it."""
    row = catalogue.get_dataset(session, viewer, dataset_id)
    return sign(f"/v1/datasets/{row.id}/download", format=format)


@router.get("/models/{model_id}/link")
def link_model(model_id: str, session: Session, viewer: Viewer, sign: Signer) -> schemas.Link:
    """A link to a model's weights, good for a while and for whoever has it."""
    return sign(f"/v1/models/{catalogue.get_model(session, viewer, model_id).id}/weights")
