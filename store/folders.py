"""Image folders that the server's owner registers: `train/<class>/<image>` and `test/<class>/<image>`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from core.cards import DatasetCard
from core.errors import DataUnavailable


def folder_card(path: Path) -> DatasetCard:
    """Look at a folder: classes are the sorted names of `train`'s subfolders, the shape is that of the first images.

    Raises:
        DataUnavailable: the folder is not laid out so, or its classes hold images of different shapes.
    """
    train = _split(path / "train")
    test = _split(path / "test") if (path / "test").is_dir() else {}
    if not train:
        raise DataUnavailable(f"{path}/train holds no folder of images, one a class")
    if strangers := sorted(set(test) - set(train)):
        raise DataUnavailable(f"{path}/test has classes that train lacks: {', '.join(strangers[:5])}")
    shapes = {_shape(files[0]) for files in [*train.values(), *test.values()]}
    if len(shapes) > 1:
        raise DataUnavailable(f"{path} holds images of different shapes: {sorted(shapes)}")
    counts = (sum(len(files) for files in split.values()) for split in (train, test))
    return DatasetCard(shapes.pop(), tuple(sorted(train)), *counts)


def _split(path: Path) -> dict[str, list[Path]]:
    """Files by class; empty classes and hidden files left out."""
    if not path.is_dir():
        raise DataUnavailable(f"there is no folder {path}")
    split = {
        folder.name: sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
        for folder in path.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    }
    return {name: files for name, files in split.items() if files}


def _shape(file: Path) -> tuple[int, int, int]:
    try:
        with Image.open(file) as image:
            channels = 1 if image.mode in ("1", "L", "I", "I;16", "LA") else 3
            return (channels, image.height, image.width)
    except (UnidentifiedImageError, OSError) as error:
        raise DataUnavailable(f"{file} is not an image: {error}") from None
