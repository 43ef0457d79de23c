"""A downloaded dataset as a `torch.utils.data.Dataset`. Torch and safetensors are the user's own; nothing here is
imported before it is asked for."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from sieve.errors import ConfigurationError

Split = Literal["train", "test"]
_TENSORS: dict[Split, tuple[str, str]] = {"train": ("images", "labels"), "test": ("test_images", "test_labels")}


class TensorImages:
    """Images and labels in memory, as a map-style dataset: `len(d)`, `d[i]` gives (image, label).

    What `torch.utils.data.DataLoader` and `random_split` take; `to_torch` makes it a subclass of torch's `Dataset`.
    """

    images: Any
    """float32 [n, C, H, W] in [0, 1]."""
    labels: Any
    """int64 [n]."""
    classes: tuple[str, ...]
    """Names of the labels 0, 1, ..."""
    columns: dict[str, Any]
    """Where each training image came from, one value an image: `source_index`, `norm`, ..."""

    def __init__(
        self, images: Any, labels: Any, classes: tuple[str, ...], columns: dict[str, Any], transform: Any
    ) -> None:
        self.images, self.labels, self.classes, self.columns = images, labels, classes, columns
        self.transform: Callable[[Any], Any] | None = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self.images[index]
        return (image if self.transform is None else self.transform(image)), int(self.labels[index])

    def __repr__(self) -> str:
        return f"<{len(self)} images {'x'.join(map(str, self.images.shape[1:]))}, {len(self.classes)} classes>"


def torch_dataset(path: Path, split: Split, transform: Callable[[Any], Any] | None) -> Any:
    """Read a dataset's file.

    Raises:
        ConfigurationError: torch or safetensors is not installed here.
        ValueError: it has no images of this split.
    """
    try:
        data = importlib.import_module("torch.utils.data")
        safe_open = importlib.import_module("safetensors").safe_open
    except ImportError as error:
        raise ConfigurationError(f"to_torch needs torch and safetensors here: {error}") from error
    with safe_open(path, framework="pt") as file:
        classes = tuple(json.loads(file.metadata()["feature_sieve"])["classes"])
        names = set(file.keys())
        images_name, labels_name = _TENSORS[split]
        if images_name not in names:
            raise ValueError(f"this dataset has no images for {split}: all of them are for training")
        images, labels = file.get_tensor(images_name), file.get_tensor(labels_name)
        rest = names - {name for pair in _TENSORS.values() for name in pair} if split == "train" else ()
        columns = {name: file.get_tensor(name) for name in sorted(rest)}
    images = images.float() if images.is_floating_point() else images.float().div_(255)
    kind = type("TensorImages", (TensorImages, data.Dataset), {"__doc__": TensorImages.__doc__, "__module__": __name__})
    return kind(images, labels, classes, columns, transform)
