"""The routine of an ingest. What is not trusted is read in a process of its own, see `formats.unpacking`."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch

from core.cards import DatasetCard
from core.context import Context, Inputs, Output, Result
from core.errors import UploadRefused
from core.images import Images, blocks, save_dataset
from core.pictures import Row, in_class_order, png, sheet
from core.seeding import generator
from formats.routines.apart import apart
from formats.unpacking import SPLITS, Task, command
from sieve.specs import IngestSpec

_SHOWN = (3, 10)
"""Rows and images a row of the preview."""


def ingest(spec: IngestSpec, inputs: Inputs, context: Context) -> Result:
    """Leave `dataset.safetensors`, and a preview of it in `sheet.png`.

    Raises:
        UploadRefused: the file is no dataset, or not one that is allowed; says why.
    """
    folder = context.scratch / "unpacked"
    folder.mkdir(exist_ok=True)
    began = time.monotonic()
    found = apart(command(Task(str(inputs.files[spec.upload.name]), str(folder), spec.size)), context)
    context.progress("writing", 0, 1)
    channels, height, width = found["shape"]
    shape = (found["images"], height, width, channels)
    pixels = torch.from_numpy(np.memmap(folder / "images", found["dtype"], "c", shape=shape)).permute(0, 3, 1, 2)
    images = Images(pixels, torch.from_numpy(np.load(folder / "labels.npy")))
    test = _test_places(spec, images.labels, torch.from_numpy(np.load(folder / "splits.npy")))
    first, again = torch.from_numpy(np.load(folder / "copies.npy")).T
    classes = tuple(found["classes"])
    train, held_out = (_laid_out(folder / name, images, part) for name, part in (("train", ~test), ("test", test)))
    if not len(train):
        raise UploadRefused("all of its images are for testing: there are none to train on")
    dataset, preview = context.scratch / "dataset.safetensors", context.scratch / "sheet.png"
    save_dataset(dataset, train, classes, test=held_out)
    preview.write_bytes(_preview(train, classes))
    told = {name: value for name, value in found.items() if name not in ("shape", "dtype", "classes")}
    return Result(
        figures={
            **told,
            "label_counts": {
                split: torch.bincount(part.labels, minlength=len(classes)).tolist()
                for split, part in (("train", train), ("test", held_out))
                if len(part)
            },
            "duplicates_across_splits": int((test[first] != test[again]).sum()),
            "classes": len(classes),
            "train_images": len(train),
            "test_images": len(held_out),
            "seconds": time.monotonic() - began,
        },
        outputs=(
            Output(dataset.name, dataset, "dataset", "application/octet-stream"),
            Output(preview.name, preview, "picture", "image/png"),
        ),
        made=DatasetCard((channels, height, width), classes, len(train), len(held_out)),
    )


def _laid_out(path: Path, images: Images, chosen: torch.Tensor) -> Images:
    """Some of the images, chosen by flags [n], one behind the other in a mapped file: memory holds a block of them."""
    places = chosen.nonzero()[:, 0]
    shape = (len(places), *images.pixels.shape[1:])
    if not len(places):
        return images.select(places)
    pixels = torch.from_file(str(path), shared=True, size=math.prod(shape), dtype=images.pixels.dtype).view(shape)
    for block in blocks(len(places)):
        pixels[block] = images.pixels[places[block]]
    return Images(pixels, images.labels[places])


def _preview(images: Images, classes: tuple[str, ...]) -> bytes:
    """The PNG of some images of each class, with their labels."""
    rows, width = _SHOWN
    shown = images.select(in_class_order(images.labels, rows * width))
    pixels, names = shown.batch(slice(None)), [classes[label] for label in shown.labels.tolist()]
    starts = range(0, len(shown), width)
    return png(sheet([Row("", pixels[at : at + width], tuple(names[at : at + width])) for at in starts]))


def _test_places(spec: IngestSpec, labels: torch.Tensor, splits: torch.Tensor) -> torch.Tensor:
    """Which images are for testing, bool [n]: as the file says, else a part of each class by the seed."""
    test = splits == SPLITS.index("test")
    if test.any() or spec.test_fraction == 0:
        return test
    for label in sorted(set(labels.tolist())):
        places = (labels == label).nonzero()[:, 0]
        drawn = torch.randperm(len(places), generator=generator(spec.seed, "test split", label))
        test[places[drawn[: round(spec.test_fraction * len(places))]]] = True
    return test
