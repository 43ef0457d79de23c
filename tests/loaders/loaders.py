"""Public loaders of exported files, one function each: what somebody writes who has never seen this project's code."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tests.loaders.conftest import CLASSES

NAMES = tuple(sorted(CLASSES))
"""Of the labels 0, 1, …: a registered folder's classes as they sort."""

HALF_A_STEP = 1 / 510 + 1e-6
"""What 8 bits may move a pixel by."""

Split = Literal["train", "test"]
Read = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""Images [n, C, H, W] in [0, 1] and labels [n] of a split, in the dataset's order."""
Loader = Callable[[Path, Path, Split], Read]
"""Takes the file, an empty folder, and the split."""


TENSORS = {"train": ("images", "labels"), "test": ("test_images", "test_labels")}
"""Names of images and labels where a format has one namespace for both splits."""


def unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def as_floats(pictures: list[Any]) -> npt.NDArray[Any]:
    return np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]).transpose(0, 3, 1, 2) / 255


def hugging_face_parquet(file: Path, folder: Path, split: Split) -> Read:
    import datasets

    if tarfile.is_tarfile(file):
        unpacked(file, folder)
    else:
        (folder / "data").mkdir()
        (folder / "data/train-00000-of-00001.parquet").symlink_to(file)
    return _hugging_face(datasets.load_dataset(str(folder), split=split, cache_dir=str(folder / "cache")))


def hugging_face_bundle(file: Path, folder: Path, split: Split) -> Read:
    import datasets

    (card,) = unpacked(file, folder).iterdir()
    found = datasets.load_dataset(str(card), split=split, cache_dir=str(folder / "cache"))
    assert tuple(found.features["label"].names) == NAMES
    return _hugging_face(found)


def hugging_face_imagefolder(file: Path, folder: Path, split: Split) -> Read:
    import datasets

    found = datasets.load_dataset(str(unpacked(file, folder)), split=split, cache_dir=str(folder / "cache"))
    return _hugging_face(found.sort("file_name") if "file_name" in found.column_names else found)


def _hugging_face(found: Any) -> Read:
    return as_floats(found["image"]), np.array(found["label"])


def torchvision_imagefolder(file: Path, folder: Path, split: Split) -> Read:
    from torchvision.datasets import ImageFolder

    found = ImageFolder(str(unpacked(file, folder) / split))
    samples = sorted(found.samples, key=lambda sample: Path(sample[0]).name)
    return as_floats([found.loader(path) for path, _ in samples]), np.array([label for _, label in samples])


def webdataset_shards(file: Path, folder: Path, split: Split) -> Read:
    import webdataset

    shards = sorted(str(shard) for shard in unpacked(file, folder).glob(f"{split}-*.tar"))
    samples = list(
        webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("png", "cls", "npy", "json")
    )
    exact = np.stack([array for _, _, array, _ in samples])
    pictures = as_floats([picture for picture, *_ in samples])
    assert np.abs(pictures - exact).max() <= HALF_A_STEP
    assert samples[0][3].keys() == {"class"} or {"class", "norm", "target", "success"} < samples[0][3].keys()
    assert [told["class"] for *_, told in samples] == [NAMES[label] for _, label, _, _ in samples]
    return exact, np.array([label for _, label, _, _ in samples])


def mlcroissant_bundle(file: Path, folder: Path, split: Split) -> Read:
    import mlcroissant

    (card,) = unpacked(file, folder).iterdir()
    dataset = mlcroissant.Dataset(jsonld=card / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    records = list(dataset.records(split))
    pictures, labels = ([record[f"{split}/{name}"] for record in records] for name in ("image", "label"))
    return as_floats(pictures), np.array(labels)


def safetensors_file(file: Path, folder: Path, split: Split) -> Read:
    from safetensors.numpy import load_file

    found = load_file(file)
    images, labels = (found[name] for name in TENSORS[split])
    return (images.astype(np.float32) / 255 if images.dtype == np.uint8 else images), labels


def safetensors_bundle(file: Path, folder: Path, split: Split) -> Read:
    (card,) = unpacked(file, folder).iterdir()
    names: dict[str, Any] = {"__file__": str(card / "load.py"), "__name__": "load"}
    exec((card / "load.py").read_text(), names)
    images, labels = (names[name] for name in TENSORS[split])
    return images, labels


def numpy_archive(file: Path, folder: Path, split: Split) -> Read:
    with np.load(file, allow_pickle=False) as found:
        assert tuple(found["classes"]) == NAMES
        assert "test_images" in found.files or {"norm", "target", "success"} <= set(found.files)
        images, labels = (found[name] for name in TENSORS[split])
        return images, labels


def torch_lists(file: Path, folder: Path, split: Split) -> Read:
    import torch

    place = unpacked(file, folder)
    suffix = "_test" if split == "test" else ""
    images = torch.cat(torch.load(place / f"CIFAR_ims{suffix}", weights_only=True))
    labels = torch.cat(torch.load(place / f"CIFAR_lab{suffix}", weights_only=True))
    return images.numpy(), labels.numpy()


LOADERS: list[tuple[str, Loader, bool]] = [
    ("parquet", hugging_face_parquet, False),
    ("bundle", hugging_face_bundle, False),
    ("imagefolder", hugging_face_imagefolder, False),
    ("imagefolder", torchvision_imagefolder, False),
    ("webdataset", webdataset_shards, True),
    ("bundle", mlcroissant_bundle, False),
    ("safetensors", safetensors_file, True),
    ("bundle", safetensors_bundle, True),
    ("npz", numpy_archive, True),
    ("torch", torch_lists, True),
]
"""Format, loader, and whether the loader gives float32 pixels."""
