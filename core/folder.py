"""Image folders that the server's owner registers: `train/<class>/*` and, where there is one, `test/<class>/*`.

JPEG and PNG; all images of one size. Classes are the sorted folder names, images are in sorted order, so that a folder
reads the same on every machine. Torch-free, but for the reading itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from core.cards import DatasetCard, Shape
from core.errors import DataUnavailable

if TYPE_CHECKING:
    import numpy.typing as npt

    from core.images import Splits

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
_GREY = frozenset({"1", "L", "LA"})
_COLOUR = frozenset({"P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for damaged files."""


def folder_card(path: Path) -> DatasetCard:
    """The card of an image folder: classes and counts from its names, the shape from its first image.

    Raises:
        DataUnavailable: it is not such a folder; names the file or folder at fault.
    """
    classes = _classes(path)
    train, test = _files(path, "train", classes), _files(path, "test", classes)
    return DatasetCard(_first_shape(train[0][0]), classes, len(train), len(test))


def read_folder(path: Path) -> Splits:
    """Read an image folder: uint8 pixels, one channel where the first image is grey, else three.

    Raises:
        DataUnavailable: it is not such a folder, an image cannot be decoded, or differs from the first in size, or is
            in colour where the first is grey; names the file.
    """
    import torch  # noqa: PLC0415

    from core.images import Images, Splits  # noqa: PLC0415

    classes = _classes(path)
    train, test = _files(path, "train", classes), _files(path, "test", classes)
    shape = _first_shape(train[0][0])

    def split(files: list[tuple[Path, int]]) -> Images:
        channels, height, width = shape
        pixels = np.empty((len(files), height, width, channels), np.uint8)
        for place, (file, _) in zip(pixels, files, strict=True):
            place[:] = _decoded(file, shape)
        labels = torch.tensor([label for _, label in files], dtype=torch.int64)
        return Images(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels)

    return Splits(split(train), split(test), classes)


def _classes(path: Path) -> tuple[str, ...]:
    if not (path / "train").is_dir():
        raise DataUnavailable(f"{path} has no folder train/ with one folder a class")
    classes = tuple(_names(path / "train"))
    if len(classes) < 2:
        raise DataUnavailable(f"{path / 'train'} holds {len(classes)} class folders; two or more are needed")
    if (path / "test").is_dir() and (unknown := set(_names(path / "test")) - set(classes)):
        raise DataUnavailable(f"{path / 'test' / min(unknown)} is of a class that train/ does not have")
    return classes


def _names(folder: Path) -> list[str]:
    """Names in a folder, sorted; hidden ones (.DS_Store) are not meant."""
    try:
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataUnavailable(f"{folder} cannot be read: {error.strerror}") from None


def _files(path: Path, split: str, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Each image file of a split with its label, by class, then by name."""
    files = []
    for label, name in enumerate(classes):
        folder = path / split / name
        if split == "test" and not folder.exists():
            continue
        if not folder.is_dir():
            raise DataUnavailable(f"{folder} is not a folder of images")
        found = [folder / name for name in _names(folder)]
        for file in found:
            if file.suffix.lower() not in SUFFIXES:
                raise DataUnavailable(f"{file} is neither a JPEG nor a PNG file")
        if split == "train" and not found:
            raise DataUnavailable(f"{folder} holds no images")
        files += [(file, label) for file in found]
    return files


def _first_shape(file: Path) -> Shape:
    with _opened(file) as image:
        return (1 if image.mode in _GREY else 3, image.height, image.width)


def _decoded(file: Path, shape: Shape) -> npt.NDArray[np.uint8]:
    """[H, W, C]."""
    channels, height, width = shape
    with _opened(file) as image:
        if image.size != (width, height):
            raise DataUnavailable(f"{file} is {image.width}x{image.height}, the first image {width}x{height}")
        if channels == 1 and image.mode not in _GREY:
            raise DataUnavailable(f"{file} is in colour, the first image is grey")
        try:
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        except _BROKEN as error:
            raise DataUnavailable(f"{file} cannot be decoded: {error}") from None
    return pixels.reshape(height, width, channels)


def _opened(file: Path) -> Image.Image:
    try:
        image = Image.open(file, formats=("JPEG", "PNG"))
    except _BROKEN as error:
        raise DataUnavailable(f"{file} cannot be read: {error}") from None
    if image.mode not in _GREY | _COLOUR:
        image.close()
        raise DataUnavailable(f"{file} has pixels of mode {image.mode}; 8 bits a channel are needed")
    return image
