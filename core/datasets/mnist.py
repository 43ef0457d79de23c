"""MNIST: handwritten digits (LeCun et al. 1998), through torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cards import DatasetCard, DatasetEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.images import Splits

CARD = DatasetCard(
    shape=(1, 28, 28),
    classes=tuple("0123456789"),
    train_images=60_000,
    test_images=10_000,
)


def card(options: Spec) -> DatasetCard:
    """The same for all options."""
    del options
    return CARD


def build(options: Spec, data_folder: Path) -> Splits:
    """Fetch the dataset on first use, and read it."""
    del options
    from torchvision.datasets import MNIST

    from core.downloads import read_downloaded

    def split(root: Path, train: bool) -> tuple[Any, Any]:
        read = MNIST(root, train=train, download=True)
        return read.data, read.targets

    return read_downloaded("mnist", data_folder, CARD, split)


ENTRY = DatasetEntry(
    name="mnist",
    summary="handwritten digits, 28x28 grey, ten classes",
    options=Spec,
    card=card,
    build=build,
)
