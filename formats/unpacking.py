"""Turn an uploaded file into plain arrays, in a process of its own: `python -m formats.unpacking TASK`.

The process has no torch and no secrets, little memory and little time; what goes wrong in it stays in it. TASK is JSON,
see `Task`. It leaves `images` (raw pixels, [n, H, W, C]), `labels.npy`, `splits.npy` and `copies.npy` in a folder and
says on stdout, in lines of JSON, how far it is (`{"done": n}`), and at the end `{"unpacked": {...}}` or
`{"refused": "why"}`. `copies.npy` has a row for each image that was there before: places of the first one and of this.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import resource
import sys
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from formats.arrivals import Arrival, Limits, Refused, Sample, shown

SPLITS = ("train", "test", None)
"""What the numbers in `splits.npy` stand for; None where the file does not say."""

_TELL = 512
"""Images between two words about progress."""


@dataclass(frozen=True)
class Task:
    """What to unpack, and how."""

    path: str
    folder: str
    """Where to leave the arrays; exists."""
    size: tuple[int, int] | None = None
    """Height and width: other images are scaled to cover it and cut to it around the middle. None: all are alike."""
    memory: int = 448 << 20
    """Bytes that the process may fill."""
    limits: Limits = field(default_factory=Limits)


@dataclass
class _Unpacked:
    """What was found so far."""

    shape: tuple[int, int, int] | None = None
    """H, W, C of every image."""
    dtype: str = ""
    labels: list[int] = field(default_factory=list)
    """By number of its name."""
    splits: list[int] = field(default_factory=list)
    names: dict[str | int, int] = field(default_factory=dict)
    """Labels as the file has them, numbered as they come."""
    resized: int = 0
    seen: dict[bytes, int] = field(default_factory=dict)
    """Hashes of the images, with the first place that each was at."""
    copies: array[int] = field(default_factory=lambda: array("q"))
    """Of each image that was seen before: the place of the first one, and its own."""
    contradictions: int = 0
    """Duplicates with another label."""


def unpack(task: Task) -> dict[str, Any]:
    """Do it, and say what there is.

    Raises:
        Refused: it is no dataset, or more than the limits allow.
    """
    limits, folder = task.limits, Path(task.folder)
    arrival = _reader(Path(task.path))(Path(task.path), limits)
    found = _Unpacked()
    with (folder / "images").open("wb") as file:
        for number, sample in enumerate(arrival.samples):
            if number >= limits.files:
                raise Refused(f"it holds more than {limits.files:,} images")
            _take(sample, task, found, file)
            if file.tell() > limits.bytes:
                raise Refused(f"its pixels fill more than {limits.bytes:,} bytes")
            if number % _TELL == 0:
                print(json.dumps({"done": number}), flush=True)
    if found.shape is None:
        raise Refused("it holds no images")
    classes, labels = _named(arrival, found, limits)
    splits = np.array(found.splits, np.uint8)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "splits.npy", splits)
    np.save(folder / "copies.npy", np.array(found.copies, np.int64).reshape(-1, 2))
    height, width, channels = found.shape
    return {
        "images": len(labels),
        "shape": [channels, height, width],
        "dtype": found.dtype,
        "classes": list(classes),
        "resized": found.resized,
        "duplicates": len(found.copies) // 2,
        "duplicates_with_other_labels": found.contradictions,
    }


def _reader(path: Path) -> Any:
    """The `read` of the format that a file's first bytes show it to be in; its name says nothing."""
    with path.open("rb") as file:
        head = file.read(512)
    if head[:4] == b"PAR1":
        name = "parquet"
    elif head[:4] == b"PK\x03\x04":
        name = "npz" if head[30 : 30 + int.from_bytes(head[26:28], "little")].endswith(b".npy") else "imagefolder"
    elif head[257:262] == b"ustar" and importlib.import_module("formats.parquet").holds(path):
        name = "parquet"
    elif head[:2] == b"\x1f\x8b" or head[257:262] == b"ustar":
        name = "imagefolder"
    elif head[8:9] == b"{":
        name = "safetensors"
    else:
        raise Refused("it is none of: a zip or tar of an image folder, parquet or a tar of it, npz, safetensors")
    return importlib.import_module(f"formats.{name}").read


def _take(sample: Sample, task: Task, found: _Unpacked, file: BinaryIO) -> None:
    pixels = _fitted(sample, task, found)
    place = found.names.setdefault(sample.label, len(found.names))
    if len(found.names) > task.limits.classes:
        raise Refused(f"it has more than {task.limits.classes:,} classes")
    content = pixels.tobytes()
    first = found.seen.setdefault(hashlib.blake2b(content, digest_size=16).digest(), len(found.labels))
    if first < len(found.labels):
        found.copies.extend((first, len(found.labels)))
        found.contradictions += found.labels[first] != place
    found.labels.append(place)
    found.splits.append(SPLITS.index(sample.split))
    file.write(content)


def _fitted(sample: Sample, task: Task, found: _Unpacked) -> npt.NDArray[Any]:
    """The pixels, of the shape and type of the first image's."""
    pixels = sample.pixels
    if task.size is not None and pixels.shape[:2] != task.size:
        if pixels.dtype != np.uint8:
            raise Refused(f"{shown(sample.where)} has float pixels, which are not resized")
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        fitted = np.asarray(ImageOps.fit(image, task.size[::-1], Image.Resampling.BICUBIC))
        pixels = fitted.reshape(*task.size, -1)
        found.resized += 1
    if found.shape is None:
        height, width, channels = pixels.shape
        found.shape, found.dtype = (height, width, channels), str(pixels.dtype)
    if pixels.shape[2] == 1 and found.shape[2] == 3:
        pixels = np.repeat(pixels, 3, axis=2)
    if pixels.shape != found.shape or str(pixels.dtype) != found.dtype:
        one, first = "x".join(map(str, pixels.shape)), "x".join(map(str, found.shape))
        raise Refused(f"{shown(sample.where)} is {one}, the first image {first}; a size to bring all to can be given")
    return pixels


def _named(arrival: Arrival, found: _Unpacked, limits: Limits) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Names of the classes, and the labels that count in them."""
    names = list(found.names)
    if all(isinstance(name, str) for name in names):
        classes = tuple(sorted(map(str, names)))
        number = {name: at for at, name in enumerate(classes)}
        values = [number[str(name)] for name in names]
    elif all(isinstance(name, int) for name in names):
        values = [int(name) for name in names]
        most = limits.classes if arrival.classes is None else len(arrival.classes)
        if min(values) < 0 or max(values) >= most:
            raise Refused(f"its labels run from {min(values)} to {max(values)}; they must be 0 to {most - 1}")
        classes = arrival.classes or tuple(str(at) for at in range(max(values) + 1))
    else:
        raise Refused("some of its labels are numbers, and some are words")
    if len(names) < 2:
        raise Refused(f"all of its images are of the class {shown(str(names[0]))}; two or more are needed")
    return classes, np.array(values, np.int64)[np.array(found.labels)]


def main() -> None:
    """Read the task, bound this process, unpack."""
    values = json.loads(sys.argv[1])
    limits = Limits(**values.pop("limits", {}))
    size = values.pop("size", None)
    task = Task(**values, limits=limits, size=None if size is None else (size[0], size[1]))
    resource.setrlimit(resource.RLIMIT_DATA, (task.memory, task.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * limits.bytes, 2 * limits.bytes))
    try:
        print(json.dumps({"unpacked": unpack(task)}), flush=True)
    except Refused as refused:
        print(json.dumps({"refused": str(refused)}), flush=True)
    except (MemoryError, RecursionError):
        print(json.dumps({"refused": "it takes more memory to read than uploads are given"}), flush=True)


def command(task: Task) -> list[str]:
    """Of the process that does it."""
    return [sys.executable, "-m", "formats.unpacking", json.dumps(dataclasses.asdict(task))]


if __name__ == "__main__":
    main()
