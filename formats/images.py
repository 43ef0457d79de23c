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

HEADER = "feature_sieve"
"""Metadata key of the file, as `core.tensorfile` writes it."""

BATCH = 512
"""Images read at once."""


@dataclass(frozen=True)
class ImageFile:
    """A dataset in the canonical format (safetensors, see `core.images`). Labels and columns are held in memory."""

    path: Path
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    """C, H, W."""
    labels: npt.NDArray[np.int64]
    """[n]."""
    columns: Mapping[str, npt.NDArray[np.generic]]
    """Where each image came from, by name; each [n]."""

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int = BATCH) -> Iterator[npt.NDArray[np.float32]]:
        """The images in order, float32 [b, C, H, W] in [0, 1]."""
        with safe_open(self.path, framework="np") as file:
            images = file.get_slice("images")
            for start in range(0, len(self), size):
                some = images[start : min(start + size, len(self))]
                yield some / np.float32(255) if some.dtype == np.uint8 else some


def open_images(path: Path) -> ImageFile:
    """Read everything but the images."""
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()[HEADER])
        _, *shape = file.get_slice("images").get_shape()
        known = sorted(set(file.keys()) - {"images", "test_images", "test_labels"})
        columns = {name: file.get_tensor(name) for name in known}
    channels, height, width = shape
    return ImageFile(path, tuple(header["classes"]), (channels, height, width), columns.pop("labels"), columns)
