"""Exports: a dataset in another file format, made by a job the first time it is asked for."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from api import schemas, views
from api.auth import Session, Viewer
from api.idempotency import Repeatable
from api.routes.jobs import rings
from core.cards import DATASETS
from core.errors import SpecRefused
from sieve.specs import FormatName
from store import catalogue, exports
from store.jobs import submit


class ExportRequest(BaseModel):
    """A format to write a dataset in."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    format: FormatName
    """See `GET /v1/formats`."""


router = APIRouter(prefix="/v1/datasets/{dataset_id}/exports", tags=["datasets"], route_class=Repeatable)


@router.post(
    "",
    status_code=202,
    dependencies=[rings],
    responses={200: {"model": schemas.Job, "description": "It was exported before"}},
)
def export_dataset(
    dataset_id: str, body: ExportRequest, session: Session, viewer: Viewer, response: Response
) -> schemas.Job:
    """Have a dataset written in a format. The job that does it, or did it; then `download?format=` gives the file."""
    if dataset_id in DATASETS.names():
        raise SpecRefused("", f"{dataset_id} is built-in: only what a job made is exported")
    row = catalogue.get_dataset(session, viewer, dataset_id)
    if row.folder is not None:
        raise SpecRefused("", f"{dataset_id} is a folder of this server: only what a job made is exported")
    job = exports.export_job(session, row, body.format, viewer=viewer)
    if job is None:
        job = submit.submit(session, owner=viewer, spec=exports.export_spec(row, body.format)).job
    elif job.finished_at is not None:
        response.status_code = 200
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return views.changed(session, viewer, job.id)
