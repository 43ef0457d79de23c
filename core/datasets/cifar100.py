"""CIFAR-100: small photographs of a hundred things (Krizhevsky 2009), through torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.cards import DatasetCard
from core.torchvision_entry import torchvision_entry

FINE = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
    dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
    leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
    otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
    road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
    sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""
"""The fine labels; they are in alphabetical order."""

CARD = DatasetCard(
    shape=(3, 32, 32),
    classes=tuple(FINE.split()),
    train_images=50_000,
    test_images=10_000,
)


def split(root: Path, train: bool) -> tuple[Any, Any]:
    """Pixels and labels, downloaded on first use."""
    from torchvision.datasets import CIFAR100

    read = CIFAR100(root, train=train, download=True)
    return read.data, read.targets


ENTRY = torchvision_entry("cifar100", "small photographs, 32x32 in colour, a hundred classes", CARD, split)
