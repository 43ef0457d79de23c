"""scikit-learn's handwritten digits: 1,797 grey images of 8x8 pixels (UCI Optical Recognition of Digits)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from core.cards import DatasetCard, DatasetEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.images import Splits

CLASSES = tuple("0123456789")
TEST_IMAGES = 360


class DigitsOptions(Spec):
    """How the digits are shown."""

    size: int = Field(default=8, ge=8, le=64)
    """Rows and columns; above 8 the images are enlarged bilinearly."""


def card(options: DigitsOptions) -> DatasetCard:
    """1,437 images to train on, 360 to test on."""
    return DatasetCard((1, options.size, options.size), CLASSES, 1797 - TEST_IMAGES, TEST_IMAGES)


def build(options: DigitsOptions, data_folder: Path) -> Splits:
    """Read the digits from scikit-learn's own files: float32 pixels, a fixed split with equal shares of each class."""
    del data_folder  # nothing is downloaded
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from torch.nn.functional import interpolate

    from core.images import Images, Splits

    grey, target = load_digits(return_X_y=True)  # 17 levels of grey, 0…16
    pixels = torch.from_numpy(grey).float().div(16).reshape(-1, 1, 8, 8)
    if options.size > 8:
        pixels = interpolate(pixels, size=(options.size, options.size), mode="bilinear", align_corners=False)
    every = Images(pixels, torch.from_numpy(target).long())
    train, test = train_test_split(range(len(every)), test_size=TEST_IMAGES, stratify=target, random_state=0)
    return Splits(every.select(torch.tensor(train)), every.select(torch.tensor(test)), CLASSES)


ENTRY = DatasetEntry(
    name="digits",
    summary="scikit-learn's handwritten digits, 8x8 grey or enlarged, ten classes",
    options=DigitsOptions,
    card=card,
    build=build,
)
