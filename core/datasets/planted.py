"""Planted ground truth: images with one robust and one non-robust feature, so that each claim can be verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from core.cards import DatasetCard, DatasetEntry
from sieve.specs import Spec
from sieve.specs.base import Seed

if TYPE_CHECKING:
    from core.images import Splits

SIZE = 16
"""Rows and columns."""
CLASSES = ("0 degrees", "45 degrees", "90 degrees", "135 degrees")
"""By the direction in which the shape's waves run, from right to down."""


class PlantedOptions(Spec):
    """What is planted, and how strongly; amplitudes and noise are in pixel values."""

    train_images: int = Field(default=4000, ge=8, le=10_000_000)
    test_images: int = Field(default=1000, ge=4, le=10_000_000)
    shape_amplitude: float = Field(default=0.25, ge=0, le=0.5)
    """Of the robust feature, a low-frequency grating."""
    angle_spread: float = Field(default=0.22, ge=0, le=3)
    """Standard deviation of the shape's angle around that of its class, in radians."""
    pattern_amplitude: float = Field(default=0.02, ge=0, le=0.5)
    """Of the non-robust feature, a high-frequency grating."""
    noise: float = Field(default=0.02, ge=0, le=0.5)
    """Standard deviation of the Gaussian noise."""
    seed: Seed = 0
    """Of the data; a job's own seed does not change them."""


def card(options: PlantedOptions) -> DatasetCard:
    """Four classes of grey images."""
    return DatasetCard((1, SIZE, SIZE), CLASSES, options.train_images, options.test_images)


def build(options: PlantedOptions, data_folder: Path) -> Splits:
    """Paint the images."""
    del data_folder  # nothing is read
    from core.planted import planted

    return planted(options)


ENTRY = DatasetEntry(
    name="planted",
    summary="16x16 grey images with a robust shape and a non-robust pattern planted in them, four classes",
    options=PlantedOptions,
    card=card,
    build=build,
)
