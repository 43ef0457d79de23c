"""Send a file or folder to the server, in pieces: a lost connection loses one of them at most."""

from __future__ import annotations

import importlib
import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sieve.errors import Conflict

if TYPE_CHECKING:
    from sieve.transport import Progress, Transport

PIECE = 8 << 20
"""Bytes of one request."""

_LARGEST_HEADER = 100 << 20
"""Bytes; what the library itself allows."""
_AUTHORS = ("CIFAR_ims", "CIFAR_lab")
"""Files of a dataset as the authors of the paper published theirs."""


def send(transport: Transport, path: Path, progress: Progress | None = None) -> str:
    """Send a file; gives the id of the upload, `upl_…`. `progress` is told the bytes there, and of how many."""
    size = path.stat().st_size
    upload = transport.json("POST", "/v1/uploads", body={"name": path.name, "size": size})
    url, there = upload["url"], 0
    with path.open("rb") as file:
        while there < size:
            file.seek(there)
            headers = {"Upload-Offset": str(there), "Content-Type": "application/offset+octet-stream"}
            try:
                transport.ask("PATCH", url, content=file.read(PIECE), headers=headers)
                there = file.tell()
            except Conflict:  # a piece arrived whose answer was lost
                there = transport.json("GET", url)["arrived"]
            if progress is not None:
                progress(there, size)
    return str(upload["id"])


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
    images, labels = (torch.cat(torch.load(folder / name, weights_only=True, map_location="cpu")) for name in _AUTHORS)
    tensors = {"images": images.float().contiguous(), "labels": labels.long().contiguous()}
    importlib.import_module("safetensors.torch").save_file(tensors, target)
    return target
