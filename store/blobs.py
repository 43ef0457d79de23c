"""Where bytes live, by their sha256. A blob is never changed; a database row makes it part of something.

How publishing and garbage collection keep out of each other's way: `store.artifacts.publish_blobs` and `store.garbage`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from store.settings import Settings

CHUNK = 1 << 20
"""Bytes that are read at once."""


class StorageFailed(OSError):
    """The blob store cannot be reached, or refused."""


@dataclass(frozen=True)
class Kept:
    """A blob that the store keeps."""

    sha256: str
    size: int
    at: datetime
    """When it was last put."""


class BlobStore(Protocol):
    """Content-addressed bytes. What goes wrong is an `OSError` with a message for people."""

    def put(self, source: Path, tick: Callable[[], None] = lambda: None) -> tuple[str, int]:
        """Store a file's bytes durably. Gives their sha256 (hex) and size. Putting the same bytes again heals them.

        `tick` is called often: so that whoever must give signs of life meanwhile can.
        """

    def holds(self, sha256: str, size: int) -> bool:
        """Are there so many bytes under this name?"""

    def fetch(self, sha256: str, tick: Callable[[], None] = lambda: None) -> Path:
        """A local file with the bytes, for an hour at least. Raises `FileNotFoundError`."""

    def open(self, sha256: str) -> BinaryIO:
        """Read the bytes. Raises `FileNotFoundError`."""

    def delete(self, sha256: str) -> None:
        """Remove the bytes; that there are none is no error."""

    def everything(self) -> Iterator[Kept]:
        """All that is kept."""

    def clear_arriving(self, seconds: float) -> int:
        """Remove what puts that were killed left behind more than `seconds` ago. Gives its number."""


def blob_store(settings: Settings) -> BlobStore:
    """The blob store of an installation."""
    if settings.blob_store is None:
        return DiskBlobs(settings.blobs)
    from store.s3 import S3Blobs  # noqa: PLC0415 - boto3 takes half a second to import, and most servers need none

    return S3Blobs(
        settings.blob_store, settings.home / "cache", endpoint=settings.s3_endpoint, cache_bytes=settings.cache_bytes
    )


class DiskBlobs:
    """Blobs in a folder: `ab/abcdef…`. Files appear whole or not at all, and survive a loss of power."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._arriving = root / "arriving"

    def put(self, source: Path, tick: Callable[[], None] = lambda: None) -> tuple[str, int]:
        """Copy the file, see `receive`."""
        with source.open("rb") as reading:
            return self.receive(reading, tick)

    def receive(self, reading: BinaryIO, tick: Callable[[], None] = lambda: None) -> tuple[str, int]:
        """Copy into a temporary file on the same filesystem while hashing, sync, rename, sync the folders."""
        self._arriving.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        descriptor, name = tempfile.mkstemp(dir=self._arriving)
        try:
            with os.fdopen(descriptor, "wb") as writing:
                while chunk := reading.read(CHUNK):
                    digest.update(chunk)
                    writing.write(chunk)
                    size += len(chunk)
                    tick()
                writing.flush()
                os.fsync(writing.fileno())
            target = self.path(digest.hexdigest())
            target.parent.mkdir(exist_ok=True)
            os.chmod(name, 0o444)
            os.rename(name, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
        for folder in (target.parent, self.root, self.root.parent):  # each may be new, by a process that died since
            _sync_folder(folder)
        return digest.hexdigest(), size

    def holds(self, sha256: str, size: int) -> bool:
        """Looks at the file's size."""
        try:
            return self.path(sha256).stat().st_size == size
        except FileNotFoundError:
            return False

    def fetch(self, sha256: str, tick: Callable[[], None] = lambda: None) -> Path:  # noqa: ARG002 - it takes no time
        """The file itself."""
        path = self.path(sha256)
        path.stat()
        return path

    def path(self, sha256: str) -> Path:
        """The file that holds, or would hold, these bytes."""
        return self.root / sha256[:2] / sha256

    def open(self, sha256: str) -> BinaryIO:
        """Read the bytes."""
        return self.path(sha256).open("rb")

    def delete(self, sha256: str) -> None:
        """Unlink the file: whoever has it open reads on."""
        self.path(sha256).unlink(missing_ok=True)

    def everything(self) -> Iterator[Kept]:
        """All files, folder by folder."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.iterdir()):
                with contextlib.suppress(FileNotFoundError):  # deleted while we look
                    status = path.stat()
                    yield Kept(path.name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def clear_arriving(self, seconds: float) -> int:
        """By the time of their last change: a put that goes on changes its file."""
        old, cleared = datetime.now(UTC).timestamp() - seconds, 0
        for path in self._arriving.iterdir() if self._arriving.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < old:
                    path.unlink()
                    cleared += 1
        return cleared


def sha256_of(path: Path) -> str:
    """The sha256 (hex) of a file's bytes."""
    with path.open("rb") as reading:
        return hashlib.file_digest(reading, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
