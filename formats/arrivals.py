"""What people bring: images with labels out of files that nobody trusts. The parts that all formats' readers share.

Readers stream: nothing is decoded, unpacked or held that a limit does not allow. Shape legend: an image is
[H, W, C], uint8 or float32 in [0, 1].
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Split = Literal["train", "test"]
SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "test",
    "valid": "test",
    "validation": "test",
}
"""Words for splits, in the names of folders and files."""
_GREY = frozenset({"1", "L", "LA"})
_COLOUR = frozenset({"P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, MemoryError)
"""What Pillow raises for damaged files."""


class Refused(Exception):
    """A file is not what it must be; the message says which part of it, for people."""


@dataclass(frozen=True)
class Limits:
    """What an upload may hold."""

    bytes: int = 16 << 30
    """Of pixels, and of anything unpacked."""
    ratio: int = 50
    """Unpacked bytes for each packed one; a small file may have `slack` more."""
    slack: int = 64 << 20
    files: int = 2_000_000
    file_bytes: int = 32 << 20
    """Of one image's file."""
    pixels: int = 16 << 20
    """Of one image."""
    classes: int = 100_000

    def unpacked(self, packed: int) -> int:
        """The most bytes that a file of this size may unpack to."""
        return min(self.bytes, self.ratio * packed + self.slack)


@dataclass(frozen=True)
class Sample:
    """A labelled image."""

    pixels: npt.NDArray[Any]
    label: str | int
    split: Split | None
    """None where the file does not say."""
    where: str
    """Which part of the file it is, for messages."""


@dataclass(frozen=True)
class Arrival:
    """An opened file."""

    samples: Iterator[Sample]
    classes: tuple[str, ...] | None = None
    """Names of the labels 0, 1, … where the file gives them."""


class Metered(io.RawIOBase):
    """A stream that refuses to give more than was allowed, or much at once."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self._stream, self._left = stream, most

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes. Raises `Refused`."""
        if size < 0 or size > _AT_ONCE:
            raise Refused(f"it holds a record of {size:,} bytes where a few thousand are usual")
        found = self._stream.read(size)
        self._left -= len(found)
        if self._left < 0:
            raise Refused("it unpacks to far more bytes than it has")
        return found


_AT_ONCE = 4 << 20


def split_of(path: str) -> tuple[Split | None, str]:
    """Split and class of an image at `…/train/cat/1.png` or `…/cat/1.png`.

    Raises:
        Refused: it lies in no folder, or its path leads out of the archive.
    """
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if not parts or parts[0].startswith("/") or ":" in parts[0] or ".." in parts or "\x00" in path:
        raise Refused(f"{shown(path)} leads out of the archive")
    if len(parts) < 2:
        raise Refused(f"{shown(path)} lies in no folder: the folder that an image lies in is its class")
    split = SPLITS.get(parts[-3].lower()) if len(parts) > 2 else None
    return split, parts[-2]


def decoded(content: bytes, where: str, limits: Limits) -> npt.NDArray[np.uint8]:
    """The pixels of a JPEG or PNG file: [H, W, 1] where it is grey, else [H, W, 3]; transparency is dropped.

    Raises:
        Refused: it is no such file, damaged, or too large.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            if math.prod(image.size) > limits.pixels:
                width, height = image.size
                raise Refused(f"{shown(where)} has {width} x {height} pixels; {limits.pixels:,} are allowed")
            if image.mode not in _GREY | _COLOUR:
                raise Refused(f"{shown(where)} has pixels of mode {image.mode}; 8 bits a channel are needed")
            grey = image.mode in _GREY
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except _BROKEN as error:
        raise Refused(f"{shown(where)} is no readable JPEG or PNG file: {shown(str(error))}") from None
    return pixels[:, :, None] if grey else pixels


def laid_out(shape: tuple[int, ...], where: str) -> Literal["HWC", "CHW", "HW"]:
    """How an array of images [n, …] has its axes.

    Raises:
        Refused: it cannot be one, or could be either.
    """
    if len(shape) == 3:
        return "HW"
    if len(shape) == 4:
        last, first = shape[3] in (1, 3), shape[1] in (1, 3)
        if last != first:
            return "HWC" if last else "CHW"
        if last and first:
            raise Refused(f"{where} has shape {list(shape)}: channels could be second or last")
    raise Refused(f"{where} has shape {list(shape)}; images are [n, H, W], [n, H, W, C] or [n, C, H, W], C 1 or 3")


def as_images(array: npt.NDArray[Any], where: str) -> Iterator[npt.NDArray[Any]]:
    """The images [H, W, C] of an array, uint8 or float32 in [0, 1].

    Raises:
        Refused: of another type or shape, or with values outside [0, 1].
    """
    layout = laid_out(array.shape, where)
    if array.dtype != np.uint8:
        if array.dtype.kind != "f":
            raise Refused(f"{where} is {array.dtype}; images are uint8, or floats in [0, 1]")
        array = array.astype(np.float32)
        if not ((array >= 0) & (array <= 1)).all():
            raise Refused(f"{where} has values outside [0, 1]; images of 0…255 must be uint8")
    if layout == "HW":
        array = array[..., None]
    elif layout == "CHW":
        array = array.transpose(0, 2, 3, 1)
    yield from array


def shown(text: str) -> str:
    """Part of a strange name or message, fit to be printed."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return printable if len(printable) <= 120 else printable[:117] + "…"
