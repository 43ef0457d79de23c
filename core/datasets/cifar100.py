"""CIFAR-100: small photographs of a hundred things (Krizhevsky 2009), through torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cards import DatasetCard, DatasetEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.images import Splits

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


def card(options: Spec) -> DatasetCard:
    """The same for all options."""
    del options
    return CARD


def build(options: Spec, data_folder: Path) -> Splits:
    """Fetch the dataset on first use, and read it."""
    del options
    from torchvision.datasets import CIFAR100

    from core.downloads import read_downloaded

    def split(root: Path, train: bool) -> tuple[Any, Any]:
        read = CIFAR100(root, train=train, download=True)
        return read.data, read.targets

    return read_downloaded("cifar100", data_folder, CARD, split)


ENTRY = DatasetEntry(
    name="cifar100",
    summary="small photographs, 32x32 in colour, a hundred classes",
    options=Spec,
    card=card,
    build=build,
)
