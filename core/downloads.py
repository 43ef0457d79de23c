"""torchvision's datasets: fetched once into the data folder, read from there as uint8.

torchvision checks every file that it fetches, and every pickle that it loads, against the checksums that it ships.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from core.cards import DatasetCard
from core.errors import DataUnavailable
from core.images import Images, Splits


def read_downloaded(
    name: str, data_folder: Path, card: DatasetCard, split: Callable[[Path, bool], tuple[Any, Any]]
) -> Splits:
    """Read a dataset from `data_folder/name`, which is fetched first where it does not exist.

    `split(root, train)` has torchvision read one split, downloading what `root` lacks, and gives its pixels (uint8
    [n, H, W], [n, H, W, C] or [n, C, H, W]) and its labels ([n]). Files put into the folder by hand, archives
    included, are used where their checksums are right.

    Raises:
        DataUnavailable: the files are not there and could not be fetched, or are damaged.
    """
    root = data_folder / name
    data_folder.mkdir(parents=True, exist_ok=True)
    try:
        with _alone(data_folder / f".{name}.lock"):
            if not root.exists():
                _fetch(root, split)
            train, test = split(root, True), split(root, False)
    except (OSError, RuntimeError, EOFError) as error:
        raise DataUnavailable(
            f"{name} is not in {root} and could not be fetched, or is damaged there ({error}); "
            "without a network, put the files that torchvision downloads into that folder"
        ) from error
    return Splits(_images(card, *train), _images(card, *test), card.classes)


def _fetch(root: Path, split: Callable[[Path, bool], tuple[Any, Any]]) -> None:
    """Download beside `root` and rename: a killed download leaves no folder that looks complete."""
    part = root.with_name(root.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    split(part, True)
    split(part, False)
    part.rename(root)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time; the kernel lets go of the lock of a process that dies."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _images(card: DatasetCard, pixels: Any, labels: Any) -> Images:
    pixels = torch.as_tensor(pixels)
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(1)
    elif pixels.shape[1:] != card.shape:
        pixels = pixels.permute(0, 3, 1, 2)
    assert pixels.dtype == torch.uint8
    assert pixels.shape[1:] == card.shape
    return Images(pixels.contiguous(), torch.as_tensor(labels, dtype=torch.int64))
