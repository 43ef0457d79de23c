"""NumPy's archive: `images` float32 [n, C, H, W], `labels` int64 [n], `classes`, and one array a column; of test images
`test_images` and `test_labels`."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from formats.arrivals import Arrival, Limits, Refused, Sample, Split, as_images, laid_out, shown
from formats.card import About, Format, Tick
from formats.images import ImageFile, ImageSplit


def write(images: ImageFile, about: About, target: Path, tick: Tick) -> None:  # noqa: ARG001
    """As `numpy.savez` would, but image by image: `savez` wants all of them in memory."""
    with ZipFile(target, "w") as archive:
        _add_images(archive, images.train, images.shape, tick)
        _add(archive, "labels", images.train.labels)
        _add(archive, "classes", np.array(images.classes))
        for name, column in images.train.columns.items():
            _add(archive, name, column)
        if images.test is not None:
            _add_images(archive, images.test, images.shape, tick)
            _add(archive, "test_labels", images.test.labels)


def _add_images(archive: ZipFile, split: ImageSplit, shape: tuple[int, int, int], tick: Tick) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(split), *shape)}
    with archive.open(ZipInfo(f"{split.tensor}.npy"), "w", force_zip64=True) as member:
        npy.write_array_header_2_0(member, header)
        for batch in split.batches():
            member.write(np.ascontiguousarray(batch, "<f4").data)
            tick(len(batch))


def _add(archive: ZipFile, name: str, array: npt.NDArray[np.generic]) -> None:
    with archive.open(ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        npy.write_array(member, array, allow_pickle=False)


_NAMES: tuple[tuple[Split | None, tuple[str, ...], tuple[str, ...]], ...] = (
    (None, ("images", "x", "data"), ("labels", "y", "targets")),
    ("train", ("train_images", "x_train", "images_train"), ("train_labels", "y_train", "labels_train")),
    ("test", ("test_images", "x_test", "images_test"), ("test_labels", "y_test", "labels_test")),
)
"""Names that arrays of images and labels have, by split."""
_AT_ONCE = 256
_BROKEN = (BadZipFile, EOFError, OSError, NotImplementedError, ValueError, KeyError, zlib.error)


def read(path: Path, limits: Limits) -> Arrival:
    """Arrays `images` and `labels`, or `train_images`, `test_images`, …; `classes` where it is there.

    `images` beside `test_images` are for training.

    Raises:
        Refused: now, or while its samples are taken.
    """
    try:
        with ZipFile(path) as archive:
            entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            if sum(entry.file_size for entry in entries.values()) > limits.unpacked(path.stat().st_size):
                raise Refused("it unpacks to far more bytes than it has")
            pairs = [
                (split, image, label)
                for split, images, labels in _NAMES
                for image in images
                if image in entries
                for label in labels
                if label in entries
            ]
            if {split for split, *_ in pairs} == {None, "test"}:
                pairs = [(split or "train", image, label) for split, image, label in pairs]
            if not pairs:
                raise Refused(f"it holds no arrays images and labels, but {shown(', '.join(sorted(entries)))}")
            classes = _whole(archive, "classes", limits.classes) if "classes" in entries else None
            if classes is not None and classes.dtype.kind != "U":
                raise Refused("the array classes must hold strings")
    except _BROKEN as error:
        raise Refused(f"it is no whole npz file: {shown(str(error))}") from None
    return Arrival(_samples(path, pairs, limits), None if classes is None else tuple(classes.tolist()))


def _samples(path: Path, pairs: list[tuple[Split | None, str, str]], limits: Limits) -> Iterator[Sample]:
    try:
        with ZipFile(path) as archive:
            for split, image, label in pairs:
                labels = _whole(archive, label, limits.files).reshape(-1)
                if labels.dtype.kind not in "iuU":
                    raise Refused(f"the array {label} is {labels.dtype}; labels are integers or strings")
                with archive.open(f"{image}.npy") as member:
                    shape, dtype = _header(member, image)
                    if shape[:1] != labels.shape:
                        raise Refused(f"there are {shape[:1]} of {image} and {labels.shape} of {label}")
                    laid_out(shape, image)
                    if math.prod(shape[1:]) > 3 * limits.pixels:
                        raise Refused(f"{image} are of shape {shape[1:]}; {limits.pixels:,} pixels are allowed")
                    for start in range(0, len(labels), _AT_ONCE):
                        some = labels[start : start + _AT_ONCE]
                        wanted = math.prod(shape[1:]) * len(some) * dtype.itemsize
                        content = member.read(wanted)
                        if len(content) < wanted:
                            raise Refused(f"the array {image} is cut short")
                        batch = np.frombuffer(content, dtype).reshape(len(some), *shape[1:])
                        for at, (pixels, own) in enumerate(zip(as_images(batch, image), some.tolist(), strict=True)):
                            yield Sample(pixels, own, split, f"{image}[{start + at}]")
    except _BROKEN as error:
        raise Refused(f"it is no whole npz file: {shown(str(error))}") from None


def _header(member: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array in C order, that holds no objects."""
    version = npy.read_magic(member)
    reading = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = reading(member, max_header_size=10_000)
    if any(length < 0 for length in shape):
        raise Refused(f"the array {name} has shape {list(shape)}")
    if dtype.hasobject:
        raise Refused(f"the array {name} holds Python objects: nothing is unpickled here")
    if fortran and len(shape) > 1:
        raise Refused(f"the array {name} is in Fortran order; save numpy.ascontiguousarray of it")
    return shape, dtype


def _whole(archive: ZipFile, name: str, most: int) -> npt.NDArray[Any]:
    """A small array."""
    with archive.open(f"{name}.npy") as member:
        shape, dtype = _header(member, name)
        if math.prod(shape) > most or dtype.itemsize > 1024:
            raise Refused(f"the array {name} has {math.prod(shape):,} entries; {most:,} are allowed")
        content = member.read(math.prod(shape) * dtype.itemsize)
    return np.frombuffer(content, dtype).reshape(shape)


ENTRY = Format(
    name="npz",
    summary="NumPy: exact float32 images, labels, class names and columns as named arrays",
    suffix=".npz",
    media_type="application/zip",
    exact=True,
    write=write,
)
