"""Send a file in pieces, so that a lost connection loses one of them at most: the core of tus 1.0, https://tus.io/"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Header, Response
from pydantic import BaseModel, ConfigDict, Field

from api import schemas
from api.auth import BlobsOf, DatabaseOf, Session, SettingsOf, Viewer, WaitingViewer
from api.idempotency import Repeatable
from api.pointers import FieldError
from api.problems import Problem, invalid
from api.submission import Text
from store import uploads
from store.blobs import BlobStore
from store.database import Database
from store.settings import Settings
from store.tables import Upload, User

router = APIRouter(prefix="/v1/uploads", tags=["datasets"], route_class=Repeatable)

LARGEST_PIECE = 16 << 20
"""Bytes of one request."""
PIECE_TYPE = "application/offset+octet-stream"


class Announcement(BaseModel):
    """A file that is to be sent."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Text = ""
    """For people."""
    size: Annotated[int, Field(ge=1)]
    """Bytes."""


@router.post("", status_code=201)
def announce_upload(
    body: Announcement, session: Session, viewer: Viewer, settings: SettingsOf, response: Response
) -> schemas.Upload:
    """Announce a file; then send its bytes with PATCH, and submit a job of kind `ingest` that names it."""
    if body.size > settings.max_upload:
        most = f"{settings.max_upload:,} bytes are allowed (the server's SIEVE_MAX_UPLOAD)"
        raise invalid([FieldError(pointer="/size", message=most)])
    upload = uploads.begin(session, viewer, name=body.name, size=body.size)
    session.refresh(upload)
    response.headers["Location"] = f"/v1/uploads/{upload.id}"
    return _shown(settings, upload)


@router.get("/{upload_id}")
@router.head("/{upload_id}", include_in_schema=False)
def show_upload(
    upload_id: str, session: Session, viewer: Viewer, settings: SettingsOf, response: Response
) -> schemas.Upload:
    """How much of a file has arrived; also in the header `Upload-Offset`."""
    shown = _shown(settings, uploads.get(session, viewer, upload_id))
    response.headers["Upload-Offset"] = str(shown.arrived)
    response.headers["Cache-Control"] = "no-store"
    return shown


@router.patch("/{upload_id}", status_code=204)
def send_piece(
    upload_id: str,
    database: DatabaseOf,
    viewer: WaitingViewer,
    settings: SettingsOf,
    blobs: BlobsOf,
    *,
    piece: Annotated[bytes, Body(media_type=PIECE_TYPE)],
    upload_offset: Annotated[int, Header(ge=0, description="Bytes that were sent before.")],
    response: Response,
) -> None:
    """Send the next piece, of at most 16 MiB. After the last one the file is whole, and `sha256` is known."""
    with database.transaction() as session:
        upload = uploads.get(session, viewer, upload_id)
    try:
        there = uploads.add(settings, upload, upload_offset, piece)
    except uploads.WrongOffset as wrong:
        if wrong.at == upload.size:  # this process may have died between the last piece and the end
            _finish(database, settings, blobs, viewer, upload_id)
        raise Problem(409, wrong.code, str(wrong), headers={"Upload-Offset": str(wrong.at)}) from None
    if there == upload.size:
        _finish(database, settings, blobs, viewer, upload_id)
    response.headers["Upload-Offset"] = str(there)


@router.delete("/{upload_id}", status_code=204)
def forget_upload(upload_id: str, session: Session, viewer: Viewer, settings: SettingsOf) -> None:
    """Forget a file that was sent, wholly or in part. Datasets that were made of it stay."""
    uploads.abandon(session, uploads.get(session, viewer, upload_id))
    uploads.clear(settings, upload_id)


def _finish(database: Database, settings: Settings, blobs: BlobStore, viewer: User, upload_id: str) -> None:
    with database.transaction() as session:
        upload = uploads.get(session, viewer, upload_id)
        if upload.sha256 is None:
            uploads.finish(session, settings, blobs, upload)
    uploads.clear(settings, upload_id)


def _shown(settings: Settings, upload: Upload) -> schemas.Upload:
    return schemas.Upload(
        id=upload.id,
        name=upload.name,
        size=upload.size,
        arrived=uploads.arrived(settings, upload),
        sha256=upload.sha256,
        created_at=upload.created_at,
        url=f"/v1/uploads/{upload.id}",
    )
