"""SVHN: digits of house numbers (Netzer et al. 2011), cropped, through torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cards import DatasetCard, DatasetEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.images import Splits

CARD = DatasetCard(
    shape=(3, 32, 32),
    classes=tuple("0123456789"),
    train_images=73_257,
    test_images=26_032,
)


def card(options: Spec) -> DatasetCard:
    """The same for all options."""
    del options
    return CARD


def build(options: Spec, data_folder: Path) -> Splits:
    """Fetch the dataset on first use, and read it."""
    del options
    from torchvision.datasets import SVHN

    from core.downloads import read_downloaded

    def split(root: Path, train: bool) -> tuple[Any, Any]:
        read = SVHN(root, split="train" if train else "test", download=True)
        return read.data, read.labels

    return read_downloaded("svhn", data_folder, CARD, split)


ENTRY = DatasetEntry(
    name="svhn",
    summary="digits cropped from house numbers, 32x32 in colour, ten classes",
    options=Spec,
    card=card,
    build=build,
)
