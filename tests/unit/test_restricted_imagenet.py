"""Restricted ImageNet from a tiny ImageNet folder: 1,000 classes by their folders, a few JPEG files of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from core.cards import DATASETS
from core.context import Inputs, MemoryContext
from core.errors import DataUnavailable
from core.images import Images, open_dataset
from core.run import execute
from core.streaming import Streamed
from sieve.specs import ArchitectureRef, DatasetRef, TrainSpec

FIRST = {"dog": 151, "cat": 281, "frog": 30, "turtle": 33, "bird": 80, "monkey": 365, "fish": 389, "crab": 118}
SMALL = DatasetRef(name="restricted_imagenet", options={"size": 32})


def wnid(number: int) -> str:
    return f"n{1_440_764 + 7 * number:08d}"


def put(folder: Path, split: str, number: int, name: str, size: tuple[int, int], *, mode: str = "RGB") -> None:
    noise = np.random.default_rng([number, *size]).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3))
    picture = Image.fromarray(noise.astype(np.uint8)).resize(size).convert(mode)
    picture.save(folder / "imagenet" / split / wnid(number) / name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for number in range(1000):
            (tmp_path / "imagenet" / split / wnid(number)).mkdir(parents=True)
    for number in FIRST.values():
        put(tmp_path, "train", number, f"{wnid(number)}_1.JPEG", (90, 60))
        put(tmp_path, "val", number, f"ILSVRC2012_val_{number:08d}.JPEG", (48, 77))
    put(tmp_path, "train", 268, f"{wnid(268)}_9.JPEG", (40, 40), mode="L")  # the last dog, in grey
    put(tmp_path, "train", 300, f"{wnid(300)}_1.JPEG", (301, 45))
    for number in (0, 150, 269, 320):  # fish that are no "fish", and neighbours of groups
        put(tmp_path, "train", number, f"{wnid(number)}_1.JPEG", (40, 40))
    return tmp_path


def test_groups_sizes_and_labels(folder: Path) -> None:
    splits = open_dataset(SMALL, Inputs(), folder)
    names = [splits.classes[label] for label in splits.train.labels.tolist()]
    assert names == ["dog", "dog", "cat", "frog", "turtle", "bird", "monkey", "fish", "crab", "insect"]
    assert [splits.classes[label] for label in splits.test.labels.tolist()] == list(FIRST)
    x = splits.train.batch(slice(None))
    assert x.shape == (10, 3, 32, 32)
    assert (x.min(), x.max()) >= (0, 0.5)
    assert torch.equal(x[1, 0], x[1, 2]), "grey as three equal channels"
    entry = DATASETS.get("restricted_imagenet")
    assert entry.card(entry.options()).shape == (3, 224, 224)
    assert entry.card(entry.options()).classes == splits.classes


def test_an_image_is_what_torchvisions_transforms_make_of_it(folder: Path) -> None:
    train = open_dataset(DatasetRef(name="restricted_imagenet"), Inputs(), folder).train
    resize, crop = Resize(256, InterpolationMode.BILINEAR), CenterCrop(224)
    for at, number in ((0, 151), (9, 300)):
        file = folder / "imagenet" / "train" / wnid(number) / f"{wnid(number)}_1.JPEG"
        wanted = np.asarray(crop(resize(Image.open(file).convert("RGB"))))
        assert np.array_equal(train.pixels[torch.tensor([at])][0].permute(1, 2, 0).numpy(), wanted)


def test_nothing_is_read_before_it_is_wanted(folder: Path) -> None:
    train = open_dataset(SMALL, Inputs(), folder).train
    broken = folder / "imagenet" / "train" / wnid(281) / f"{wnid(281)}_1.JPEG"  # the third
    broken.write_bytes(broken.read_bytes()[:100])
    chosen = train.select(torch.tensor([4, 0]))
    assert isinstance(chosen.pixels, Streamed)
    assert torch.equal(chosen.batch(slice(1, 2)), train.batch(torch.tensor([0])))
    assert len(train.select(slice(3)).pixels) == 3
    with pytest.raises(DataUnavailable, match=broken.name):
        train.batch(slice(None))


def test_a_network_trains_on_it(folder: Path) -> None:
    spec = TrainSpec(
        dataset=SMALL,
        architecture=ArchitectureRef(name="convnet", options={"widths": (4, 4)}),
        epochs=1,
        batch_size=4,
    )
    result = execute(spec, Inputs(), MemoryContext(folder / "run", data_folder=folder))
    assert result.figures["train_images"] == 9


def test_what_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(DataUnavailable, match="put ImageNet"):
        open_dataset(SMALL, Inputs(), folder / "imagenet")
    (folder / "imagenet" / "val" / wnid(999)).rmdir()
    with pytest.raises(DataUnavailable, match="999 class folders"):
        open_dataset(SMALL, Inputs(), folder)


def test_images_of_both_sorts_move_alike(folder: Path) -> None:
    streamed = open_dataset(SMALL, Inputs(), folder).train
    held = Images(streamed.pixels[:], streamed.labels)
    index = torch.tensor([5, 1, 3])
    assert torch.equal(
        streamed.to("cpu").select(index).batch(slice(None)), held.to("cpu").select(index).batch(slice(None))
    )
    assert tuple(streamed.pixels.shape) == tuple(held.pixels.shape)
    assert streamed.pixels.dtype == held.pixels.dtype
