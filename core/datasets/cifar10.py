"""CIFAR-10: small photographs (Krizhevsky 2009), through torchvision. What the paper is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cards import DatasetCard, DatasetEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.images import Splits

CARD = DatasetCard(
    shape=(3, 32, 32),
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    train_images=50_000,
    test_images=10_000,
)


def card(options: Spec) -> DatasetCard:
    """The same for all options."""
    del options
    return CARD


def build(options: Spec, data_folder: Path) -> Splits:
    """Fetch the dataset on first use, and read it."""
    del options
    from torchvision.datasets import CIFAR10

    from core.downloads import read_downloaded

    def split(root: Path, train: bool) -> tuple[Any, Any]:
        read = CIFAR10(root, train=train, download=True)
        return read.data, read.targets

    return read_downloaded("cifar10", data_folder, CARD, split)


ENTRY = DatasetEntry(
    name="cifar10",
    summary="small photographs, 32x32 in colour, ten classes",
    options=Spec,
    card=card,
    build=build,
)
