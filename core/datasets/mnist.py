"""MNIST: handwritten digits (LeCun et al. 1998), through torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.cards import DatasetCard
from core.torchvision_entry import torchvision_entry

CARD = DatasetCard(
    shape=(1, 28, 28),
    classes=tuple("0123456789"),
    train_images=60_000,
    test_images=10_000,
)


def split(root: Path, train: bool) -> tuple[Any, Any]:
    """Pixels and labels, downloaded on first use."""
    from torchvision.datasets import MNIST

    read = MNIST(root, train=train, download=True)
    return read.data, read.targets


ENTRY = torchvision_entry("mnist", "handwritten digits, 28x28 grey, ten classes", CARD, split)
