"""Send a file or folder to the server, in pieces: a lost connection loses one of them at most."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sieve.cache import cache_folder
from sieve.errors import Conflict, NotFound, ServerUnreachable, UploadDamaged
from sieve.fetching import sha256_of

if TYPE_CHECKING:
    from sieve.transport import Progress, Transport

PIECE = 8 << 20
"""Bytes of one request."""
LEAST_PIECE = 64 << 10
"""Where connections are lost, requests become as small as this."""

_LARGEST_HEADER = 100 << 20
"""Bytes; what the library itself allows."""
_AUTHORS = ("CIFAR_ims", "CIFAR_lab")
"""Files of a dataset as the authors of the paper published theirs. Our exports may have `…_test` beside them."""


def send(transport: Transport, path: Path, progress: Progress | None = None) -> str:
    """Send a file, or what is missing of it; gives the id of the upload, `upl_…`.

    Args:
        progress: told the bytes there, and of how many.

    Raises:
        UploadDamaged: the server has something else at the end. It was forgotten there.
    """
    note = _note(transport, path)
    upload = _begun(transport, note, path) or _announced(transport, path)
    with contextlib.suppress(OSError):  # without a cache it cannot be taken up again
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(upload["id"], encoding="utf-8")
    url, there, size = upload["url"], upload["arrived"], upload["size"]
    most, tries = PIECE, transport.patience()
    with path.open("rb") as file:
        while there < size:
            file.seek(there)
            piece = file.read(min(most, size - there))
            if not piece:
                break  # it has become shorter
            headers = {"Upload-Offset": str(there), "Content-Type": "application/offset+octet-stream"}
            before = there
            try:
                transport.ask("PATCH", url, content=piece, headers=headers, again=False)
                there, most = there + len(piece), min(2 * most, PIECE)
            except Conflict:  # a piece arrived whose answer was lost
                there = transport.json("GET", url)["arrived"]
            except ServerUnreachable as lost:
                tries.pause(lost)
                there = transport.json("GET", url)["arrived"]
                most = max(most // 2, LEAST_PIECE)  # a line that breaks often lets small ones through
            if there > before:
                tries.moved()
            if progress is not None:
                progress(there, size)
    note.unlink(missing_ok=True)
    if transport.json("GET", url)["sha256"] != sha256_of(path):
        transport.ask("DELETE", url)
        raise UploadDamaged(f"{path.name} did not arrive as it is: it changed meanwhile, or was damaged on the way")
    return str(upload["id"])


def _announced(transport: Transport, path: Path) -> dict[str, Any]:
    body = {"name": path.name, "size": path.stat().st_size}
    upload: dict[str, Any] = transport.json("POST", "/v1/uploads", body=body)
    return upload


def _begun(transport: Transport, note: Path, path: Path) -> dict[str, Any] | None:
    """The upload that an interrupted run began for this very file, where the server still has it."""
    try:
        upload: dict[str, Any] = transport.json("GET", f"/v1/uploads/{note.read_text(encoding='utf-8')}")
    except (OSError, NotFound):
        return None
    return upload if upload["size"] == path.stat().st_size else None


def _note(transport: Transport, path: Path) -> Path:
    """Where the id of a file's upload is kept while it is under way; another one once the file changes."""
    status = path.stat()
    named = f"{transport.config.url} {path.resolve()} {status.st_size} {status.st_mtime_ns}"
    return cache_folder() / "uploads" / hashlib.sha256(named.encode()).hexdigest()


def holds_model(path: Path) -> bool:
    """Is this a file of weights as the service writes them? Looks at its header alone."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LARGEST_HEADER:
            return False
        try:
            metadata = json.loads(file.read(length)).get("__metadata__", {})
            return bool(json.loads(metadata["feature_sieve"])["format"] == "model")
        except (ValueError, KeyError, TypeError, AttributeError):
            return False


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """What to send of a path: a file itself, of a folder a tar of it, made for as long as the block lasts.

    A folder with the files `CIFAR_ims` and `CIFAR_lab` is a dataset as the paper's authors published theirs: it is
    read here, with `weights_only=True`, and sent as safetensors. That needs torch and safetensors.
    """
    if path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as scratch:
        if all((path / name).is_file() for name in _AUTHORS):
            yield _authors(path, Path(scratch, f"{path.name}.safetensors"))
        else:
            packed = Path(scratch, f"{path.name}.tar")
            with tarfile.open(packed, "w") as archive:
                archive.add(path, arcname=".", filter=_plain)
            yield packed


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Folders and files, without owners; whatever else lies there stays."""
    if not (entry.isfile() or entry.isdir()):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _authors(folder: Path, target: Path) -> Path:
    torch: Any = importlib.import_module("torch")  # only here, and only of who has such a folder
    tensors = {}
    for prefix, suffix in (("", ""), ("test_", "_test")):
        files = [folder / (name + suffix) for name in _AUTHORS]
        if all(file.is_file() for file in files):
            images, labels = (torch.cat(torch.load(file, weights_only=True, map_location="cpu")) for file in files)
            tensors[f"{prefix}images"] = images.float().contiguous()
            tensors[f"{prefix}labels"] = labels.long().contiguous()
    importlib.import_module("safetensors.torch").save_file(tensors, target)
    return target
