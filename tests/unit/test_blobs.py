"""Content-addressed bytes on disk, and figures that JSON has no words for."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest

from store.blobs import DiskBlobs, sha256_of
from store.figures import from_json, to_json


def source(folder: Path, data: bytes) -> Path:
    path = folder / "source"
    path.write_bytes(data)
    return path


def everything(blobs: DiskBlobs) -> list[str]:
    return sorted(path.name for path in blobs.root.rglob("*") if path.is_file())


def test_bytes_are_found_by_their_hash(tmp_path: Path) -> None:
    blobs, data = DiskBlobs(tmp_path / "blobs"), bytes(range(256)) * 10_000
    ticks: list[int] = []
    sha256, size = blobs.put(source(tmp_path, data), lambda: ticks.append(1))
    assert (sha256, size, len(ticks)) == (hashlib.sha256(data).hexdigest(), len(data), 3)
    assert blobs.open(sha256).read() == data
    assert everything(blobs) == [sha256]
    assert blobs.path(sha256).stat().st_mode & 0o222 == 0


def test_putting_again_heals(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path / "blobs")
    sha256, _ = blobs.put(source(tmp_path, b"good"))
    blobs.path(sha256).chmod(0o644)
    blobs.path(sha256).write_bytes(b"bad!")
    assert blobs.put(source(tmp_path, b"good"))[0] == sha256
    assert sha256_of(blobs.path(sha256)) == sha256


def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path / "blobs")

    def full() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        blobs.put(source(tmp_path, b"data"), full)
    with pytest.raises(FileNotFoundError):
        blobs.put(tmp_path / "missing")
    assert everything(blobs) == []


def test_numbers_that_json_lacks_come_back() -> None:
    there = to_json({"a": [math.inf, -math.inf, 1.5, (1, 2)], 3: {"b": math.nan, "word": "x", "none": None}})
    assert there == {
        "a": ["Infinity", "-Infinity", 1.5, [1, 2]],
        "3": {"b": "NaN", "word": "x", "none": None},
    }
    back = from_json(there)
    assert back["a"][:3] == [math.inf, -math.inf, 1.5]
    assert math.isnan(back["3"]["b"])
    assert back["3"]["word"] == "x"
