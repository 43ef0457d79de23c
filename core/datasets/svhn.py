"""SVHN: digits of house numbers (Netzer et al. 2011), cropped, through torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.cards import DatasetCard
from core.torchvision_entry import torchvision_entry

CARD = DatasetCard(
    shape=(3, 32, 32),
    classes=tuple("0123456789"),
    train_images=73_257,
    test_images=26_032,
)


def split(root: Path, train: bool) -> tuple[Any, Any]:
    """Pixels and labels, downloaded on first use."""
    from torchvision.datasets import SVHN

    read = SVHN(root, split="train" if train else "test", download=True)
    return read.data, read.labels


ENTRY = torchvision_entry("svhn", "digits cropped from house numbers, 32x32 in colour, ten classes", CARD, split)
