"""Files that people send, in pieces. Until one is whole it lies in the data folder; then it is a blob."""

from __future__ import annotations

import contextlib
import fcntl
import os
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Text, cast, func, select
from sqlalchemy.orm import Session

from store.artifacts import publish_blobs
from store.blobs import BlobStore
from store.catalogue import visible_to
from store.errors import Conflict, NotFound
from store.ids import new_id
from store.lifecycle import TERMINAL
from store.settings import Settings
from store.tables import Job, Upload, User


class WrongOffset(Conflict):
    """A piece does not begin where the last one ended."""

    def __init__(self, at: int) -> None:
        super().__init__("wrong_offset", f"{at} bytes have arrived: go on there")
        self.at = at


def begin(session: Session, owner: User, *, name: str, size: int) -> Upload:
    """Announce a file of `size` bytes."""
    upload = Upload(id=new_id("upl"), owner_id=owner.id, name=name, size=size)
    session.add(upload)
    session.flush()
    return upload


def get(session: Session, viewer: User, upload_id: str) -> Upload:
    """An upload. Raises `NotFound`."""
    found = session.scalar(select(Upload).where(Upload.id == upload_id, visible_to(viewer, Upload.owner_id)))
    if found is None:
        raise NotFound("upload", upload_id)
    return found


def arrived(settings: Settings, upload: Upload) -> int:
    """Bytes that are here."""
    if upload.sha256 is not None:
        return upload.size
    path = _path(settings, upload.id)
    return path.stat().st_size if path.exists() else 0


def add(settings: Settings, upload: Upload, at: int, piece: bytes) -> int:
    """Write a piece durably; gives the bytes that are here then.

    Raises:
        WrongOffset: it does not begin at the end of what is here, or goes beyond the file.
    """
    path = _path(settings, upload.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two clients may believe that it is theirs to go on
        there = file.tell()
        if upload.sha256 is not None or at != there or there + len(piece) > upload.size:
            raise WrongOffset(arrived(settings, upload))
        try:
            file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), there)  # nothing of a piece, or all of it
            raise
    return there + len(piece)


def finish(session: Session, settings: Settings, blobs: BlobStore, upload: Upload) -> None:
    """Make a blob of a file that is whole. May be done again by whoever finds it so. Raises `BlobMissing`."""
    path = _path(settings, upload.id)
    sha256, size = blobs.put(path)
    publish_blobs(session, blobs, [(sha256, size)])
    upload.sha256, upload.changed_at = sha256, func.now()
    session.flush()


def clear(settings: Settings, upload_id: str) -> None:
    """Remove what lies in the data folder of an upload that is a blob, or forgotten."""
    _path(settings, upload_id).unlink(missing_ok=True)


def abandon(session: Session, upload: Upload) -> None:
    """Forget an upload.

    Raises:
        Conflict: a job that has not ended is to read it.
    """
    named = cast(Job.spec, Text).contains(f'"{upload.id}"')
    job = session.scalar(
        select(Job.id).where(Job.kind.in_(("ingest", "ingest_model")), named, Job.state.not_in(TERMINAL)).limit(1)
    )
    if job is not None:
        raise Conflict("still_needed", f"{job} is to read it: cancel that first")
    session.delete(upload)


def forget_old(session: Session, days: float) -> list[str]:
    """Forget uploads that nobody has touched for so many days, unless a job is to read them. Gives their ids."""
    old = select(Upload).where(Upload.changed_at < func.now() - timedelta(days=days)).with_for_update(skip_locked=True)
    gone = []
    for upload in session.scalars(old):
        with contextlib.suppress(Conflict):
            abandon(session, upload)
            gone.append(upload.id)
    return gone


def _path(settings: Settings, upload_id: str) -> Path:
    return settings.home / "uploads" / upload_id
