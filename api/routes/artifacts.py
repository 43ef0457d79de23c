"""Download the files that jobs made."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.auth import BlobsOf, Session
from api.downloads import ANSWERS, Download
from api.links import Downloader
from store.jobs import read

router = APIRouter(prefix="/v1/artifacts", tags=["results"])


@router.get("/{artifact_id}", response_class=Response, responses=ANSWERS)
@router.head("/{artifact_id}", response_class=Response, include_in_schema=False)
def download_artifact(artifact_id: str, session: Session, viewer: Downloader, blobs: BlobsOf) -> Response:
    """A file: whole, or a `Range` of it. Its ETag is its sha256."""
    row = read.artifact(session, viewer, artifact_id)
    return Download(blobs, sha256=row.sha256, name=row.name, media_type=row.media_type)
