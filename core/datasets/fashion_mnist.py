"""Fashion-MNIST: articles of clothing (Xiao et al. 2017), through torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.cards import DatasetCard
from core.torchvision_entry import torchvision_entry

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


def split(root: Path, train: bool) -> tuple[Any, Any]:
    """Pixels and labels, downloaded on first use."""
    from torchvision.datasets import FashionMNIST

    read = FashionMNIST(root, train=train, download=True)
    return read.data, read.targets


ENTRY = torchvision_entry("fashion_mnist", "articles of clothing, 28x28 grey, ten classes", CARD, split)
