"""Images that stay files until they are wanted: for datasets that memory does not hold.

Each is brought to one size: its shorter side first, then its middle is cut out, as is usual for ImageNet.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from core.errors import DataUnavailable

MARGIN = 256 / 224
"""The shorter side is so many times what is cut out of the middle."""
_BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for damaged files."""


class Streamed:
    """Stands where pixels [n, 3, size, size] uint8 would, and reads those that are asked for.

    Of a tensor it has `shape`, `dtype`, `device`, `len`, `to` and reading by a slice or by an int64 index.
    """

    dtype = torch.uint8

    def __init__(self, files: Sequence[Path], size: int, device: torch.device | str = "cpu") -> None:
        self._files, self._size = files, size
        self.device = torch.device(device)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """[n, 3, size, size]."""
        return len(self._files), 3, self._size, self._size

    def numel(self) -> int:
        """Values in all images."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: slice | torch.Tensor) -> torch.Tensor:
        """Read some: uint8 [b, 3, size, size] on the device.

        Raises:
            DataUnavailable: one cannot be decoded; names the file.
        """
        files = self._some(index)
        pixels = np.empty((len(files), self._size, self._size, 3), np.uint8)
        with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as threads:
            for place, read in zip(pixels, threads.map(self._read, files), strict=True):
                place[:] = read
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(self.device)

    def select(self, index: slice | torch.Tensor) -> Streamed:
        """Some of the images, unread."""
        return Streamed(self._some(index), self._size, self.device)

    def to(self, device: torch.device | str) -> Streamed:
        """The same images, to be brought to another device once they are read."""
        return Streamed(self._files, self._size, device)

    def _some(self, index: slice | torch.Tensor) -> Sequence[Path]:
        return self._files[index] if isinstance(index, slice) else [self._files[at] for at in index.tolist()]

    def _read(self, file: Path) -> npt.NDArray[np.uint8]:
        try:
            with Image.open(file, formats=("JPEG", "PNG")) as image:
                return np.asarray(middle(image.convert("RGB"), self._size))
        except _BROKEN as error:
            raise DataUnavailable(f"{file} cannot be decoded: {error}") from None


def middle(image: Image.Image, size: int) -> Image.Image:
    """The middle `size` x `size` pixels, once the shorter side is `MARGIN` times as long; bilinear, antialiased."""
    shorter = round(MARGIN * size)
    width, height = image.size
    if width <= height:
        width, height = shorter, int(shorter * height / width)
    else:
        width, height = int(shorter * width / height), shorter
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))
