"""Where bytes live, by their sha256. A blob is never changed; a database row makes it part of something."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

_CHUNK = 1 << 20


class BlobStore(Protocol):
    """Content-addressed bytes."""

    def put(self, source: Path, tick: Callable[[], None] = lambda: None) -> tuple[str, int]:
        """Store a file's bytes durably. Gives their sha256 (hex) and size. Putting the same bytes again heals them.

        `tick` is called often: so that whoever must give signs of life meanwhile can.
        """

    def path(self, sha256: str) -> Path:
        """A local file with the bytes, which need not exist."""

    def open(self, sha256: str) -> BinaryIO:
        """Read the bytes. Raises `FileNotFoundError`."""


class DiskBlobs:
    """Blobs in a folder: `ab/abcdef…`. Files appear whole or not at all, and survive a loss of power."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._arriving = root / "arriving"

    def put(self, source: Path, tick: Callable[[], None] = lambda: None) -> tuple[str, int]:
        """Copy into a temporary file on the same filesystem while hashing, sync, rename, sync the folder."""
        self._arriving.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        descriptor, name = tempfile.mkstemp(dir=self._arriving)
        try:
            with source.open("rb") as reading, os.fdopen(descriptor, "wb") as writing:
                while chunk := reading.read(_CHUNK):
                    digest.update(chunk)
                    writing.write(chunk)
                    size += len(chunk)
                    tick()
                writing.flush()
                os.fsync(writing.fileno())
            target = self.path(digest.hexdigest())
            if not target.parent.is_dir():
                target.parent.mkdir(exist_ok=True)
                _sync_folder(self.root)
            os.chmod(name, 0o444)
            os.rename(name, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
        _sync_folder(target.parent)
        return digest.hexdigest(), size

    def path(self, sha256: str) -> Path:
        """The file that holds, or would hold, these bytes."""
        return self.root / sha256[:2] / sha256

    def open(self, sha256: str) -> BinaryIO:
        """Read the bytes."""
        return self.path(sha256).open("rb")


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
