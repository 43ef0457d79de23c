"""Images on pages, as PNG inside the page: read from safetensors by numpy, a few at a time, at their own size.

Shape legend: C channels, H rows, W columns. Pixels are float32 in [0, 1].
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from formats.images import HEADER, ImageSplit
from formats.png import eight_bits, png

Pixels = npt.NDArray[np.float32]

_ORDER = ("D_R", "D_NR", "D_rand", "D_det")
_AMPLIFICATIONS = (100, 50, 20, 10, 5, 2)


def data_url(image: Pixels) -> str:
    """One image [C, H, W]; the browser enlarges it without smoothing."""
    rounded = eight_bits(np.clip(np.nan_to_num(image[None]), 0, 1).astype(np.float32))[0]
    return "data:image/png;base64," + base64.b64encode(png(rounded)).decode()


def amplification(difference: Pixels) -> int:
    """The largest of 1, 2, 5, … 100 by which 99 % of a difference's values stay visible without clipping."""
    largest = float(np.quantile(np.abs(difference), 0.99)) if difference.size else 0.0
    return next((factor for factor in _AMPLIFICATIONS if factor * largest <= 0.5), 1)


def amplified(difference: Pixels, factor: int) -> Pixels:
    """As an image: mid-grey where there is none, `factor` times it elsewhere."""
    image: Pixels = np.clip(np.float32(0.5) + factor * difference, 0, 1).astype(np.float32)
    return image


@dataclass(frozen=True)
class Tile:
    """An image of the wall."""

    url: str
    caption: str
    """The label that is stored with it."""
    said: str
    """For those who do not see it."""
    added: str = ""
    """The amplified difference from where it started; empty for where that is."""


@dataclass(frozen=True)
class WallRow:
    """The same images in one dataset."""

    title: str
    tiles: tuple[Tile, ...]
    factor: int = 0
    """Of the amplified differences; 0 where there are none."""


@dataclass(frozen=True)
class Wall:
    """What a study made of a few images, and which others there are to choose from."""

    rows: tuple[WallRow, ...]
    classes: tuple[str, ...]
    chosen: int | None
    """The class shown; None for one image of each."""
    index: int
    """The how manieth of its class, from 0."""
    count: int
    """Images that there are of a class."""


def wall(path: Path, chosen: int | None, index: int, *, most: int = 10) -> Wall:
    """The images number `index` of every class, or those of one class from number `index` on: `most` at most.

    Args:
        path: `wall.safetensors`, see `core.wall`.
    """
    with safe_open(path, framework="np") as file:
        classes = tuple(json.loads(file.metadata()[HEADER])["classes"])
        labels = file.get_tensor("labels")
        present = set(file.keys())
        names = [name for name in present if "/" not in name and name not in ("labels", "source")]
        of_class = {label: np.flatnonzero(labels == label) for label in sorted(set(labels.tolist()))}
        count = max(map(len, of_class.values()))
        index = min(max(index, 0), count - 1)
        if chosen in of_class:
            shown = of_class[chosen][index : index + most]
        else:
            chosen = None
            shown = np.array([where[index] for where in of_class.values() if index < len(where)][:most], np.int64)
        source = _some(file, "source", shown)
        rows = [_row("source", source, [classes[label] for label in labels[shown]])]
        for name in sorted(names, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)):
            stored = file.get_tensor(f"{name}/labels")[shown]
            start = _some(file, f"{name}/start", shown) if f"{name}/start" in present else source
            rows.append(_row(name, _some(file, name, shown), [classes[label] for label in stored], start))
    return Wall(tuple(rows), classes, chosen, index, count)


def _some(file: Any, name: str, places: npt.NDArray[np.int64]) -> Pixels:
    part = file.get_slice(name)
    return np.stack([part[int(place)] for place in places])


def _row(name: str, images: Pixels, captions: Sequence[str], start: Pixels | None = None) -> WallRow:
    differences = [None] * len(images) if start is None else list(images - start)
    factor = 0 if start is None else amplification(images - start)
    tiles = [
        Tile(
            data_url(image),
            caption,
            f"{name}, labelled {caption}",
            "" if difference is None else data_url(amplified(difference, factor)),
        )
        for image, caption, difference in zip(images, captions, differences, strict=True)
    ]
    return WallRow(name, tuple(tiles), factor)


@dataclass(frozen=True)
class Gallery:
    """Some of a dataset's images."""

    tiles: tuple[Tile, ...]
    classes: tuple[str, ...]
    chosen: int | None
    start: int
    """The place of the first among those there are to see."""
    total: int


def gallery(images: ImageSplit, classes: tuple[str, ...], chosen: int | None, start: int, count: int) -> Gallery:
    """`count` of the images, of one class or of all, from number `start` on, each with its stored label."""
    places = np.arange(len(images)) if chosen is None else np.flatnonzero(images.labels == chosen)
    start = min(start, max(len(places) - 1, 0))
    shown = places[start : start + count]
    original = images.columns.get("original_label")
    tiles = []
    with safe_open(images.path, framework="np") as file:
        pixels = file.get_slice(images.tensor)
        for place in shown:
            image = pixels[int(place)]
            label = classes[int(images.labels[place])]
            was = classes[int(original[place])] if original is not None else label
            said = f"image {place}, labelled {label}" + (f", of class {was}" if was != label else "")
            whole = image / np.float32(255) if image.dtype == np.uint8 else image
            tiles.append(Tile(data_url(whole), label, said, was if was != label else ""))
    return Gallery(tuple(tiles), classes, chosen, start, len(places))
