"""Fetch a file: into a `.part` that a later try goes on from, checked against its sha256, by one process at a time."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import httpx

from sieve.errors import ApiError, DownloadDamaged

if TYPE_CHECKING:
    from sieve.transport import Transport

try:
    import fcntl
except ImportError:  # there is none on Windows: two downloads of one file at once are then nobody's to keep apart
    fcntl = None  # type: ignore[assignment]

Progress = Callable[[int, int], None]
"""Told the bytes that are there and the bytes there will be."""


def fetch(transport: Transport, path: str, target: Path, *, sha256: str, progress: Progress | None = None) -> Path:
    """Fetch a file through `target` + `.part`, which a later try goes on from, and check its sha256.

    Nothing is fetched where `target` is already that file. A second process that wants the same file waits for it.

    Raises:
        DownloadDamaged: the checksum differs, twice; the part is removed.
        ApiError, ServerUnreachable: as `Transport.ask`.
    """
    if target.is_file() and sha256_of(target) == sha256:
        return target
    part = target.with_name(target.name + ".part")
    with _alone(part) as file:
        if target.is_file() and sha256_of(target) == sha256:  # it came while we waited
            return target
        for last in (False, True):
            _complete(transport, path, file, sha256, progress)
            if sha256_of(part) == sha256:
                os.replace(part, target)
                return target
            file.truncate(0)  # what was there may have been of another file, and what came damaged on the way
            if last:
                part.unlink()
    raise DownloadDamaged(f"{target.name} arrived damaged: its sha256 is not {sha256}")


def sha256_of(path: Path) -> str:
    """In hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone(part: Path) -> Iterator[IO[bytes]]:
    """The part, open for appending, and nobody else's until the end of the block. An empty one is not left."""
    while True:
        file = part.open("ab")
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(file.fileno()), part.stat()):
                break
        except FileNotFoundError:
            pass
        file.close()  # while we waited for it, it became the file
    with file:
        try:
            yield file
        finally:
            if part.exists() and os.fstat(file.fileno()).st_size == 0:
                part.unlink()


def _complete(transport: Transport, path: str, part: IO[bytes], sha256: str, progress: Progress | None) -> None:
    """Append what is missing, in as many tries as it takes while something comes."""
    patience = transport.patience()
    while True:
        before = _size(part)
        try:
            _append(transport, path, part, sha256, progress)
        except (httpx.TransportError, ApiError) as error:
            if isinstance(error, ApiError) and error.status == 416:
                return  # nothing is missing, or the part is of something else
            if isinstance(error, ApiError) and not error.temporary:
                raise
            if _size(part) > before:
                patience.moved()
            patience.pause(error)
        else:
            return


def _append(transport: Transport, path: str, part: IO[bytes], sha256: str, progress: Progress | None) -> None:
    """One try at what is missing."""
    there = _size(part)
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    if there:
        headers |= {"Range": f"bytes={there}-", "If-Range": f'"{sha256}"'}
    with transport.stream(path, headers=headers) as response:
        if response.status_code != 206 or _begin(response) != there:
            there = 0
            part.truncate(0)
            if response.status_code == 206:
                raise httpx.RemoteProtocolError("the server sent another part of the file")
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else 0
        for chunk in response.iter_raw():  # as it comes: a chunk size would hold back, and lose, the last bytes
            part.write(chunk)
            part.flush()
            there += len(chunk)
            if progress is not None:
                progress(there, max(total, there))


def _begin(response: httpx.Response) -> int:
    """Where a part begins that the server sends."""
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size
