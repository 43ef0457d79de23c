"""Image datasets in memory: one split, the splits of a dataset, and the file that a constructed one is kept in.

Shape legend: n images, C channels, H rows, W columns. Pixel values are in [0, 1] wherever they are computed with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from core.cards import DATASETS
from core.context import FolderDataset, Inputs, StoredDataset
from core.errors import DamagedFile
from core.folder import read_folder
from core.registry import parse_options
from core.seeding import generator
from core.streaming import Streamed
from core.tensorfile import read_tensors, write_tensors
from sieve.specs import DatasetRef

BLOCK = 256
"""Samples a block: the unit of batch, checkpoint and merge in synthesis and evaluation."""


_TEST = ("test_images", "test_labels")
"""Names of tensors."""


def blocks(n: int) -> list[slice]:
    """`n` consecutive samples in blocks of `BLOCK`; the last may be shorter. No batch crosses a block."""
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


@dataclass(frozen=True, eq=False)
class Images:
    """The labelled images of one split."""

    pixels: torch.Tensor | Streamed
    """[n, C, H, W], uint8 in 0…255 or float32 in [0, 1]; those that memory does not hold still lie in their files."""
    labels: torch.Tensor
    """int64 [n]."""
    columns: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Where each image came from, one value an image: `source_index`, `norm`, … each [n]."""

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def starts(self) -> torch.Tensor | None:
        """Of constructed images the indices of what they started from, int64 [n]; None where they began as noise."""
        if "feature_distance" in self.columns:
            return self.columns.get("start_index")
        return self.columns.get("source_index")

    def batch(self, index: slice | torch.Tensor) -> torch.Tensor:
        """Some of the images as a copy: float32 [b, C, H, W] in [0, 1]. `index` is a slice or int64 [b]."""
        chosen = self.pixels[index].to(torch.float32, copy=True)
        return chosen.div_(255) if self.pixels.dtype == torch.uint8 else chosen

    def select(self, index: slice | torch.Tensor) -> Images:
        """Some of the images, with their labels and columns."""
        columns = {name: column[index] for name, column in self.columns.items()}
        pixels = self.pixels.select(index) if isinstance(self.pixels, Streamed) else self.pixels[index]
        return Images(pixels, self.labels[index], columns)

    def to(self, device: torch.device | str) -> Images:
        """The same images on another device."""
        columns = {name: column.to(device) for name, column in self.columns.items()}
        return Images(self.pixels.to(device), self.labels.to(device), columns)


@dataclass(frozen=True, eq=False)
class Splits:
    """A dataset."""

    train: Images
    test: Images
    """Empty in a constructed dataset."""
    classes: tuple[str, ...]
    """Names of the labels 0, 1, …"""


def open_dataset(ref: DatasetRef, inputs: Inputs, data_folder: Path) -> Splits:
    """Read the dataset that a reference stands for: one of the job's inputs, else a built-in one.

    Raises:
        UnknownName, SpecRefused: no built-in dataset of this name, or not with these options.
        DataUnavailable: its files cannot be read or fetched.
        DamagedFile: a stored dataset's file cannot be read.
    """
    found = inputs.datasets.get(ref.name)
    if isinstance(found, StoredDataset):
        splits = load_dataset(found.path)
    elif isinstance(found, FolderDataset):
        splits = read_folder(found.path)
    else:
        entry = DATASETS.get(ref.name)
        splits = entry.build(parse_options(entry.options, ref.options), data_folder)
    if not isinstance(found, StoredDataset) and ref.name not in inputs.contents:
        inputs.contents[ref.name] = content_hash(splits)
    return replace(splits, train=_limited(splits.train, ref.limit_train), test=_limited(splits.test, ref.limit_test))


def is_there(ref: DatasetRef, inputs: Inputs) -> bool:
    """Can a dataset that a former job read still be opened?"""
    return ref.name in inputs.datasets or ref.name in DATASETS.names()


def content_hash(splits: Splits) -> str:
    """sha256 of all pixels and labels, and of their types and shapes: of datasets that are no single file."""
    digest = hashlib.sha256()
    for images in (splits.train, splits.test):
        for tensor in (images.pixels, images.labels):
            digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
            for block in blocks(len(tensor)):  # not a second copy of them all
                digest.update(tensor[block].cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _limited(images: Images, limit: int | None) -> Images:
    """The first `limit` of a permutation that depends on the number of images alone, so that subsets nest."""
    if limit is None or limit >= len(images):
        return images
    return images.select(torch.randperm(len(images), generator=generator(0, "limit"))[:limit])


def save_dataset(path: Path, images: Images, classes: tuple[str, ...], *, test: Images | None = None) -> None:
    """Write a dataset as safetensors: `images` (float32 or uint8, as they are), `labels` int64, one tensor a column.

    Where there are test images, also `test_images` and `test_labels`. The bytes depend on the content alone.
    """
    assert not {"images", "labels", *_TEST} & images.columns.keys()
    tensors = {"images": images.pixels[:], "labels": images.labels, **images.columns}
    if test is not None and len(test):
        tensors |= dict(zip(_TEST, (test.pixels[:], test.labels), strict=True))
    write_tensors(path, tensors, {"format": "dataset", "version": 1, "classes": list(classes)})


def load_dataset(path: Path) -> Splits:
    """Read a file of `save_dataset`; a constructed dataset's images are all for training.

    Raises:
        DamagedFile: it cannot be read, or is not a dataset.
    """
    columns, header = read_tensors(path)
    if header.get("format") != "dataset":
        raise DamagedFile(f"{path.name} is not a dataset")
    test = Images(columns.pop(_TEST[0]), columns.pop(_TEST[1])) if _TEST[0] in columns else None
    train = Images(columns.pop("images"), columns.pop("labels"), columns)
    return Splits(train, train.select(slice(0)) if test is None else test, tuple(header["classes"]))
