"""safetensors: the canonical format, kept as it is."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from formats.arrivals import Arrival, Limits, Refused, Sample, Split, as_images, laid_out, shown
from formats.card import About, Format, Tick
from formats.images import HEADER, ImageFile

_AT_ONCE = 256


def write(images: ImageFile, about: About, target: Path, tick: Tick) -> None:  # noqa: ARG001
    """The stored file itself."""
    shutil.copyfile(images.path, target)
    tick(len(images))


def read(path: Path, limits: Limits) -> Arrival:
    """Tensors `images` and `labels`, and where there are any `test_images` and `test_labels`.

    Raises:
        Refused: now, or while its samples are taken.
    """
    try:
        with safe_open(path, framework="np") as file:
            present = set(file.keys())
            if not {"images", "labels"} <= present:
                raise Refused(f"it holds no tensors images and labels, but {shown(', '.join(sorted(present)))}")
            told = json.loads((file.metadata() or {}).get(HEADER, "{}"))
    except (SafetensorError, ValueError, OSError) as error:
        raise Refused(f"it is no whole safetensors file: {shown(str(error))}") from None
    classes = told.get("classes") if isinstance(told, dict) else None
    named = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    return Arrival(_samples(path, limits), tuple(classes) if named else None)  # type: ignore[arg-type]


def _samples(path: Path, limits: Limits) -> Iterator[Sample]:
    with safe_open(path, framework="np") as file:
        present = set(file.keys())
        both = {"test_images", "test_labels"} <= present
        parts: list[tuple[Split | None, str]] = [("train", ""), ("test", "test_")] if both else [(None, "")]
        for split, prefix in parts:
            images, name = file.get_slice(prefix + "images"), prefix + "images"
            shape = tuple(images.get_shape())
            laid_out(shape, name)
            if math.prod(shape[1:]) > 3 * limits.pixels:
                raise Refused(f"{name} are of shape {shape[1:]}; {limits.pixels:,} pixels are allowed")
            labels = file.get_tensor(prefix + "labels").reshape(-1)
            if labels.dtype.kind not in "iu" or shape[:1] != labels.shape:
                raise Refused(f"{prefix}labels must be {shape[0]} integers, and are {labels.shape} of {labels.dtype}")
            for start in range(0, len(labels), _AT_ONCE):
                stop = min(start + _AT_ONCE, len(labels))
                for at, pixels in enumerate(as_images(images[start:stop], name), start):
                    yield Sample(pixels, int(labels[at]), split, f"{name}[{at}]")


ENTRY = Format(
    name="safetensors",
    summary="the canonical one: float32 images in [0, 1], labels, and what is known of each image",
    suffix=".safetensors",
    media_type="application/octet-stream",
    exact=True,
    write=write,
)
