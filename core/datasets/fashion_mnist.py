"""Fashion-MNIST: articles of clothing (Xiao et al. 2017), through torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cards import DatasetCard, DatasetEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.images import Splits

CARD = DatasetCard(
    shape=(1, 28, 28),
    classes=(
        "T-shirt",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
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
    from torchvision.datasets import FashionMNIST

    from core.downloads import read_downloaded

    def split(root: Path, train: bool) -> tuple[Any, Any]:
        read = FashionMNIST(root, train=train, download=True)
        return read.data, read.targets

    return read_downloaded("fashion_mnist", data_folder, CARD, split)


ENTRY = DatasetEntry(
    name="fashion_mnist",
    summary="articles of clothing, 28x28 grey, ten classes",
    options=Spec,
    card=card,
    build=build,
)
