"""Splits in memory, their file, and how a reference is opened."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from core.cards import DATASETS
from core.context import Inputs, StoredDataset
from core.errors import DamagedFile, SpecRefused, UnknownName
from core.images import BLOCK, Images, Splits, blocks, load_dataset, open_dataset, save_dataset
from core.registry import parse_options
from sieve.specs import DatasetRef

CLASSES = ("cat", "dog", "Hündin")


def constructed(n: int = 7) -> Images:
    draws = torch.Generator().manual_seed(0)
    columns = {"source_index": torch.arange(n), "norm": torch.rand(n, generator=draws), "success": torch.ones(n).bool()}
    return Images(torch.rand(n, 3, 4, 5, generator=draws), torch.arange(n) % 3, columns)


def digits(**fields: object) -> Splits:
    return open_dataset(DatasetRef.model_validate({"name": "digits", **fields}), Inputs(), Path("nowhere"))


@pytest.mark.parametrize("n", [0, 1, BLOCK, BLOCK + 1, 1437])
def test_blocks_cover_every_sample_once(n: int) -> None:
    covered = [index for block in blocks(n) for index in range(n)[block]]
    assert covered == list(range(n))
    assert all(len(range(n)[block]) == BLOCK for block in blocks(n)[:-1])


def test_batches_are_floats_between_0_and_1() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1, 1)
    images = Images(pixels, torch.zeros(3, dtype=torch.int64))
    batch = images.batch(torch.tensor([2, 1]))
    assert batch.dtype == torch.float32
    assert torch.equal(batch.flatten(), torch.tensor([1.0, 0.2]))
    assert torch.equal(images.batch(slice(0, 2)).flatten(), torch.tensor([0.0, 0.2]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_batch_is_a_copy(dtype: torch.dtype) -> None:
    images = Images(torch.ones(4, 1, 2, 2, dtype=dtype), torch.zeros(4, dtype=torch.int64))
    images.batch(slice(0, 2)).zero_()
    assert bool((images.pixels == 1).all())


def test_columns_follow_their_images() -> None:
    images = constructed()
    chosen = images.select(torch.tensor([5, 2]))
    assert len(chosen) == 2
    assert chosen.columns["source_index"].tolist() == [5, 2]
    assert torch.equal(chosen.pixels[1], images.pixels[2])
    assert chosen.labels.tolist() == [2, 2]
    moved = chosen.to("meta")
    assert moved.pixels.device.type == moved.labels.device.type == moved.columns["norm"].device.type == "meta"


def test_a_dataset_survives_its_file(tmp_path: Path) -> None:
    images = constructed()
    save_dataset(tmp_path / "dataset.safetensors", images, CLASSES)
    splits = load_dataset(tmp_path / "dataset.safetensors")
    assert splits.classes == CLASSES
    assert torch.equal(splits.train.pixels, images.pixels)
    assert torch.equal(splits.train.labels, images.labels)
    assert list(splits.train.columns) == sorted(images.columns)
    for name, column in images.columns.items():
        assert torch.equal(splits.train.columns[name], column)
        assert splits.train.columns[name].dtype == column.dtype
    assert len(splits.test) == 0
    assert splits.test.pixels.shape == (0, 3, 4, 5)


def test_equal_datasets_are_equal_bytes(tmp_path: Path) -> None:
    images = constructed()
    backwards = Images(images.pixels, images.labels, dict(reversed(images.columns.items())))
    hashes = set()
    for attempt in range(8):
        save_dataset(tmp_path / str(attempt), backwards if attempt % 2 else images, CLASSES)
        hashes.add(hashlib.sha256((tmp_path / str(attempt)).read_bytes()).hexdigest())
    assert len(hashes) == 1
    images.pixels[0, 0, 0, 0] += 1e-6
    save_dataset(tmp_path / "other", images, CLASSES)
    assert hashlib.sha256((tmp_path / "other").read_bytes()).hexdigest() not in hashes


def test_a_file_cut_short_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "dataset.safetensors"
    save_dataset(path, constructed(), CLASSES)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedFile, match=r"dataset\.safetensors"):
        load_dataset(path)
    path.write_bytes(b"PK no tensors at all")
    with pytest.raises(DamagedFile, match=r"dataset\.safetensors"):
        load_dataset(path)


def test_limits_nest_and_are_everyones() -> None:
    everything = digits()
    small, large = digits(limit_train=50, limit_test=20), digits(limit_train=200, limit_test=21)
    assert len(small.train) == 50
    assert len(small.test) == 20
    assert torch.equal(large.train.pixels[:50], small.train.pixels)
    assert torch.equal(large.train.labels[:50], small.train.labels)
    assert torch.equal(large.test.pixels[:20], small.test.pixels)
    assert not torch.equal(everything.train.pixels[:50], small.train.pixels), "the first 50 would not be a sample"
    assert len(large.train.labels.unique()) == 10
    beyond = digits(limit_train=10_000)
    assert torch.equal(beyond.train.pixels, everything.train.pixels)


def test_a_stored_dataset_is_opened_by_its_reference(tmp_path: Path) -> None:
    save_dataset(tmp_path / "d", constructed(), CLASSES)
    inputs = Inputs(datasets={"ds_1": StoredDataset(tmp_path / "d")})
    splits = open_dataset(DatasetRef(name="ds_1", limit_train=3), inputs, tmp_path)
    assert len(splits.train) == 3
    assert len(splits.test) == 0
    at = splits.train.columns["source_index"]
    assert torch.equal(splits.train.pixels, constructed().pixels[at]), "images and columns are chosen together"


@pytest.mark.parametrize("size", [8, 16, 64])
def test_digits_are_as_their_card_says(size: int) -> None:
    entry = DATASETS.get("digits")
    card = entry.card(parse_options(entry.options, {"size": size}))
    splits = digits(options={"size": size})
    assert splits.train.pixels.shape == (card.train_images, *card.shape)
    assert splits.test.pixels.shape == (card.test_images, *card.shape)
    assert splits.classes == card.classes
    assert float(splits.train.pixels.min()) == 0
    assert 0.99 <= float(splits.train.pixels.max()) <= 1
    assert bool((splits.test.labels.bincount() >= 35).all()), "each class has its share of the test images"


def test_no_digit_is_both_trained_and_tested_on() -> None:
    splits = digits()
    train = {image.numpy().tobytes() for image in splits.train.pixels}
    assert not any(image.numpy().tobytes() in train for image in splits.test.pixels)


def test_enlarged_digits_are_the_same_digits() -> None:
    assert torch.equal(digits().test.labels, digits(options={"size": 16}).test.labels)
    shrunk = torch.nn.functional.avg_pool2d(digits(options={"size": 16}).test.pixels, 2)
    assert float((shrunk - digits().test.pixels).abs().mean()) < 0.08


def test_what_cannot_be_opened_is_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'digits'"):
        open_dataset(DatasetRef(name="digit"), Inputs(), Path("nowhere"))
    with pytest.raises(SpecRefused, match="/options/size"):
        digits(options={"size": 7})
    with pytest.raises(SpecRefused, match="/options/colour"):
        digits(options={"colour": True})
