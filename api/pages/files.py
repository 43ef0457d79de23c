"""Downloads from pages: the same answers as the API's, for a session instead of a key."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.auth import BlobsOf, Session
from api.downloads import Download
from api.pages.paper import Printed
from api.pages.visitor import VisitorOf
from store.jobs import read

router = APIRouter(route_class=Printed, include_in_schema=False, prefix="/files")


@router.get("/{artifact_id}")
def download(artifact_id: str, session: Session, visitor: VisitorOf, blobs: BlobsOf, *, look: bool = False) -> Response:
    """A file that a job made; `look` shows a picture instead of keeping it."""
    row = read.artifact(session, visitor.user, artifact_id)
    inline = look and row.media_type == "image/png"
    return Download(blobs, sha256=row.sha256, name=row.name, media_type=row.media_type, inline=inline)
