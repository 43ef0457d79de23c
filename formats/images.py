"""A stored dataset's file, read piece by piece: what every format is written from, in memory that stays flat.

Shape legend: n images, C channels, H rows, W columns; b images of a batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from formats.arrivals import Split

HEADER = "feature_sieve"
"""Metadata key of the file, as `core.tensorfile` writes it."""

BATCH = 512
"""Images read at once."""

_PREFIXES: dict[Split, str] = {"train": "", "test": "test_"}
"""Of the names of a split's tensors."""


@dataclass(frozen=True)
class ImageSplit:
    """One split of a dataset. Labels and columns are held in memory."""

    path: Path
    name: Split
    labels: npt.NDArray[np.int64]
    """[n]."""
    columns: Mapping[str, npt.NDArray[np.generic]]
    """Where each image came from, by name; each [n]. A test split has none."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def tensor(self) -> str:
        """Name of the tensor that holds the images."""
        return _PREFIXES[self.name] + "images"

    def batches(self, size: int = BATCH) -> Iterator[npt.NDArray[np.float32]]:
        """The images in order, float32 [b, C, H, W] in [0, 1]."""
        with safe_open(self.path, framework="np") as file:
            images = file.get_slice(self.tensor)
            for start in range(0, len(self), size):
                some = images[start : min(start + size, len(self))]
                yield some / np.float32(255) if some.dtype == np.uint8 else some


@dataclass(frozen=True)
class ImageFile:
    """A dataset in the canonical format (safetensors, see `core.images`)."""

    path: Path
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    """C, H, W."""
    eight_bit: bool
    """Are its pixels multiples of 1/255, stored as uint8? Then 8-bit formats round nothing."""
    train: ImageSplit
    test: ImageSplit | None
    """None where there are no test images."""

    def __len__(self) -> int:
        return sum(map(len, self.splits))

    @property
    def splits(self) -> tuple[ImageSplit, ...]:
        """Those that there are, training first."""
        return (self.train,) if self.test is None else (self.train, self.test)


def open_images(path: Path) -> ImageFile:
    """Read everything but the images."""
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()[HEADER])
        images = file.get_slice("images")
        _, *shape = images.get_shape()
        eight_bit = images.get_dtype() == "U8"
        present = set(file.keys())
        known = sorted(present - {f"{prefix}{what}" for prefix in _PREFIXES.values() for what in ("images", "labels")})
        columns = {name: file.get_tensor(name) for name in known}
        train = ImageSplit(path, "train", file.get_tensor("labels"), columns)
        test = ImageSplit(path, "test", file.get_tensor("test_labels"), {}) if "test_images" in present else None
    channels, height, width = shape
    return ImageFile(path, tuple(header["classes"]), (channels, height, width), eight_bit, train, test)
