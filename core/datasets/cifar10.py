"""CIFAR-10: small photographs (Krizhevsky 2009), through torchvision. What the paper is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.cards import DatasetCard
from core.torchvision_entry import torchvision_entry

CARD = DatasetCard(
    shape=(3, 32, 32),
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    train_images=50_000,
    test_images=10_000,
)


def split(root: Path, train: bool) -> tuple[Any, Any]:
    """Pixels and labels, downloaded on first use."""
    from torchvision.datasets import CIFAR10

    read = CIFAR10(root, train=train, download=True)
    return read.data, read.targets


ENTRY = torchvision_entry("cifar10", "small photographs, 32x32 in colour, ten classes", CARD, split)
