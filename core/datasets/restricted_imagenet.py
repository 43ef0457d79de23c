"""Restricted ImageNet: nine groups of ImageNet's classes (Tsipras et al. 2019), read from ImageNet's folder.

ImageNet's owners give it to whoever asks them; nothing is downloaded. The server's owner puts it, or a link to it, into
the data folder: `imagenet/train/n01440764/*.JPEG`, ..., and `imagenet/val/n01440764/*.JPEG`, all 1,000 classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from core.cards import DatasetCard, DatasetEntry
from core.errors import DataUnavailable
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.images import Images, Splits

GROUPS = {
    "dog": range(151, 269),
    "cat": range(281, 286),
    "frog": range(30, 33),
    "turtle": range(33, 38),
    "bird": range(80, 101),
    "monkey": range(365, 383),
    "fish": range(389, 398),
    "crab": range(118, 122),
    "insect": range(300, 320),
}
"""Numbers of the classes of each group: ImageNet counts its classes in the order of their folders' names."""
CLASSES = 1000
SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})


class RestrictedImageNetOptions(Spec):
    """How the images are shown."""

    size: int = Field(default=224, ge=32, le=512)
    """Rows and columns: the middle of each image, whose shorter side is first made 256/224 as long."""


def card(options: RestrictedImageNetOptions) -> DatasetCard:
    """How many images there are is known once the folder is read."""
    return DatasetCard((3, options.size, options.size), tuple(GROUPS))


def build(options: RestrictedImageNetOptions, data_folder: Path) -> Splits:
    """List the folder. Images are read when they are wanted: all of them together take 39 GB.

    Raises:
        DataUnavailable: there is no such folder, or not with 1,000 classes.
    """
    from core.images import Splits

    folder = data_folder / "imagenet"
    return Splits(_split(folder / "train", options.size), _split(folder / "val", options.size), tuple(GROUPS))


def _split(folder: Path, size: int) -> Images:
    import torch

    from core.images import Images
    from core.streaming import Streamed

    if not folder.is_dir():
        raise DataUnavailable(f"{folder} is not there: put ImageNet, or a link to it, into {folder.parent}")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) != CLASSES:
        raise DataUnavailable(f"{folder} holds {len(names)} class folders; classes are counted among all {CLASSES}")
    files: list[Path] = []
    labels: list[int] = []
    for label, classes in enumerate(GROUPS.values()):
        for number in classes:
            found = sorted(file for file in (folder / names[number]).iterdir() if file.suffix.lower() in SUFFIXES)
            files += found
            labels += [label] * len(found)
    if not files:
        raise DataUnavailable(f"{folder} holds no image of any of the nine groups")
    return Images(Streamed(files, size), torch.tensor(labels, dtype=torch.int64))


ENTRY = DatasetEntry(
    name="restricted_imagenet",
    summary="nine groups of ImageNet's classes, 224x224, read from an ImageNet folder of the server's owner",
    options=RestrictedImageNetOptions,
    card=card,
    build=build,
)
