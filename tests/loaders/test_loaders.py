"""Formats x loaders: public loaders alone find the labels, and the pixels within what the format states."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from formats.card import FORMATS
from tests.loaders.conftest import CLASSES, Downloaded

NAMES = tuple(sorted(CLASSES))
"""Of the labels 0, 1, …: a registered folder's classes as they sort."""

HALF_A_STEP = 1 / 510 + 1e-6
"""What 8 bits may move a pixel by."""

Read = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""Images [n, C, H, W] in [0, 1] and labels [n], in the dataset's order."""


def unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def as_floats(pictures: list[Any]) -> npt.NDArray[Any]:
    return np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]).transpose(0, 3, 1, 2) / 255


def hugging_face_parquet(file: Path, folder: Path) -> Read:
    import datasets

    (folder / "data").mkdir()
    (folder / "data/train-00000-of-00001.parquet").symlink_to(file)
    return _hugging_face(datasets.load_dataset(str(folder), split="train", cache_dir=str(folder / "cache")))


def hugging_face_bundle(file: Path, folder: Path) -> Read:
    import datasets

    (card,) = unpacked(file, folder).iterdir()
    found = datasets.load_dataset(str(card), split="train", cache_dir=str(folder / "cache"))
    assert tuple(found.features["label"].names) == NAMES
    return _hugging_face(found)


def hugging_face_imagefolder(file: Path, folder: Path) -> Read:
    import datasets

    found = datasets.load_dataset(str(unpacked(file, folder)), split="train", cache_dir=str(folder / "cache"))
    return _hugging_face(found.sort("file_name") if "file_name" in found.column_names else found)


def _hugging_face(found: Any) -> Read:
    return as_floats(found["image"]), np.array(found["label"])


def torchvision_imagefolder(file: Path, folder: Path) -> Read:
    from torchvision.datasets import ImageFolder

    found = ImageFolder(str(unpacked(file, folder) / "train"))
    samples = sorted(found.samples, key=lambda sample: Path(sample[0]).name)
    return as_floats([found.loader(path) for path, _ in samples]), np.array([label for _, label in samples])


def webdataset_shards(file: Path, folder: Path) -> Read:
    import webdataset

    shards = sorted(str(shard) for shard in unpacked(file, folder).glob("train-*.tar"))
    samples = list(
        webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("png", "cls", "npy", "json")
    )
    exact = np.stack([array for _, _, array, _ in samples])
    pictures = as_floats([picture for picture, *_ in samples])
    assert np.abs(pictures - exact).max() <= HALF_A_STEP
    assert {"class", "norm", "target", "success"} < samples[0][3].keys()
    return exact, np.array([label for _, label, _, _ in samples])


def mlcroissant_bundle(file: Path, folder: Path) -> Read:
    import mlcroissant

    (card,) = unpacked(file, folder).iterdir()
    dataset = mlcroissant.Dataset(jsonld=card / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    records = list(dataset.records("train"))
    return as_floats([record["train/image"] for record in records]), np.array(
        [record["train/label"] for record in records]
    )


def safetensors_file(file: Path, folder: Path) -> Read:
    from safetensors.numpy import load_file

    found = load_file(file)
    return found["images"], found["labels"]


def safetensors_bundle(file: Path, folder: Path) -> Read:
    (card,) = unpacked(file, folder).iterdir()
    names: dict[str, Any] = {"__file__": str(card / "load.py"), "__name__": "load"}
    exec((card / "load.py").read_text(), names)
    return names["images"], names["labels"]


def numpy_archive(file: Path, folder: Path) -> Read:
    with np.load(file, allow_pickle=False) as found:
        assert tuple(found["classes"]) == NAMES
        assert {"norm", "target", "success"} <= set(found.files)
        return found["images"], found["labels"]


def torch_lists(file: Path, folder: Path) -> Read:
    import torch

    place = unpacked(file, folder)
    images = torch.cat(torch.load(place / "CIFAR_ims", weights_only=True))
    labels = torch.cat(torch.load(place / "CIFAR_lab", weights_only=True))
    return images.numpy(), labels.numpy()


LOADERS: list[tuple[str, Callable[[Path, Path], Read], bool]] = [
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


@pytest.mark.parametrize(("form", "loader", "exact"), LOADERS, ids=lambda value: getattr(value, "__name__", None))
def test_a_public_loader_finds_labels_and_pixels(
    downloaded: Downloaded, tmp_path: Path, *, form: str, loader: Callable[[Path, Path], Read], exact: bool
) -> None:
    images, labels = loader(downloaded.files[form], tmp_path)
    original = np.concatenate(list(downloaded.stored.batches()))
    assert (labels == downloaded.stored.labels).all()
    if exact:
        assert images.dtype == np.float32
        assert (images == original).all()
    else:
        assert np.abs(images - original).max() <= HALF_A_STEP


def test_every_format_has_a_loader() -> None:
    assert {form for form, _, _ in LOADERS} == set(FORMATS.names())


def test_exported_again_a_file_has_the_same_bytes(downloaded: Downloaded) -> None:
    client, before = downloaded.client, downloaded.exports
    again = {form: client.submit(job.spec) for form, job in before.items()}
    for form, job in again.items():
        (file,) = job.wait(timeout=120).artifacts()
        assert job.id != before[form].id
        assert file.sha256 == before[form].artifacts()[0].sha256, form


def test_where_a_format_rounds_the_export_says_what_that_does(downloaded: Downloaded) -> None:
    for form, job in downloaded.exports.items():
        assert job.result is not None
        assert job.result["exact"] == ("rounding" not in job.result)
        if "rounding" in job.result:
            told = job.result["rounding"]
            exact = np.concatenate(list(downloaded.stored.batches()))
            moved = np.abs(np.rint(exact * 255) / 255 - exact)
            assert told["largest"] == pytest.approx(moved.max(), abs=1e-6), form
            assert told["l2"]["mean"] == pytest.approx(np.sqrt((moved**2).sum((1, 2, 3))).mean(), rel=1e-4)
            assert told["norm"]["exact"]["mean"] == pytest.approx(downloaded.stored.columns["norm"].mean(), rel=1e-4)
            reads = downloaded.stored.columns["success"].mean()
            assert told["source_reads_label"]["exact"] == pytest.approx(reads)


def test_a_bundle_lists_the_hashes_of_its_files(downloaded: Downloaded, tmp_path: Path) -> None:
    (card,) = unpacked(downloaded.files["bundle"], tmp_path).iterdir()
    sums = dict(reversed(line.split("  ")) for line in (card / "SHA256SUMS").read_text().splitlines())
    present = {str(path.relative_to(card)) for path in card.rglob("*") if path.is_file()}
    assert sums.keys() == present - {"SHA256SUMS"}
    for name, expected in sums.items():
        assert hashlib.sha256((card / name).read_bytes()).hexdigest() == expected
    document = json.loads((card / "croissant.json").read_text())
    assert {entry["contentUrl"]: entry["sha256"] for entry in document["distribution"]}.items() <= sums.items()
