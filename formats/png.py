"""Eight bits a channel: how float pixels are rounded, and PNG.

Rounding moves a pixel by up to 1/510, so that perturbations are kept only to steps of 1/255.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def eight_bits(images: npt.NDArray[np.float32]) -> Pixels:
    """float32 [b, C, H, W] in [0, 1] to the nearest of 0…255, halves to even: uint8 [b, H, W, C]."""
    rounded: Pixels = np.rint(images.transpose(0, 2, 3, 1) * np.float32(255)).astype(np.uint8)
    return rounded


def png(pixels: Pixels) -> bytes:
    """The PNG file of one image, uint8 [H, W, C] with C of 1 or 3. Lossless; equal pixels give equal bytes."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    written = io.BytesIO()
    image.save(written, "PNG", compress_level=6)
    return written.getvalue()
