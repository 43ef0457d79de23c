"""A registry entry of a dataset that torchvision fetches: no options, and files downloaded once. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cards import DatasetCard, DatasetEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.images import Splits


def torchvision_entry(
    name: str, summary: str, card: DatasetCard, split: Callable[[Path, bool], tuple[Any, Any]]
) -> DatasetEntry:
    """The entry of a dataset that has no options.

    `split(root, train)` has torchvision read one split as `core.downloads.read_downloaded` wants it, and imports
    torchvision inside.
    """

    def build(options: Spec, data_folder: Path) -> Splits:
        from core.downloads import read_downloaded  # noqa: PLC0415 -- it needs torch, which planning does without

        del options
        return read_downloaded(name, data_folder, card, split)

    def card_of(options: Spec) -> DatasetCard:
        del options
        return card

    return DatasetEntry(name=name, summary=summary, options=Spec, card=card_of, build=build)
