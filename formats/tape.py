"""Tar archives whose bytes follow from their content alone, in memory that does not grow with the number of files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Tape:
    """An archive being written. Files have no times, and no owners."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(self, name: str, content: bytes | Path) -> None:
        """Append a file."""
        entry = tarfile.TarInfo(name)
        if isinstance(content, bytes):
            entry.size = len(content)
            self._archive.addfile(entry, io.BytesIO(content))
        else:
            entry.size = content.stat().st_size
            with content.open("rb") as reading:
                self._archive.addfile(entry, reading)
        self._archive.getmembers().clear()  # which the library keeps for a listing: a million would fill the memory


@contextmanager
def writing(target: Path) -> Iterator[Tape]:
    """A new archive at `target`, whole when the block is left."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        yield Tape(archive)
