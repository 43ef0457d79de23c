"""A dataset of somebody else's distribution: all that there is to write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from core.cards import DatasetCard, DatasetEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.images import Images, Splits


class StripesOptions(Spec):
    """Stripes that lie or stand."""

    size: int = Field(default=8, ge=4, le=64)


def card(options: StripesOptions) -> DatasetCard:
    return DatasetCard((1, options.size, options.size), ("lying", "standing"), train_images=40, test_images=8)


def build(options: StripesOptions, data_folder: Path) -> Splits:
    import torch

    from core.images import Images, Splits
    from core.seeding import generator

    def split(name: str, n: int) -> Images:
        labels = torch.arange(n) % 2
        phase = torch.randint(2, (n, 1, 1, 1), generator=generator(0, f"stripes {name}"))
        lying = (torch.arange(options.size)[:, None] + phase) % 2
        pixels = torch.where(labels.reshape(-1, 1, 1, 1) == 0, lying, lying.transpose(2, 3))
        return Images(pixels.expand(n, 1, options.size, options.size).float().contiguous(), labels)

    return Splits(split("train", 40), split("test", 8), ("lying", "standing"))


ENTRY = DatasetEntry(
    name="stripes", summary="stripes that lie or stand", options=StripesOptions, card=card, build=build
)
