"""Image folders: what is read, in which order, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.context import FolderDataset, Inputs
from core.errors import DataUnavailable
from core.folder import folder_card, read_folder
from core.images import open_dataset
from sieve.specs import DatasetRef


def picture(file: Path, level: int = 100, size: tuple[int, int] = (6, 4), mode: str = "RGB") -> None:
    """A picture of `size` (width, height), slightly different in every pixel."""
    width, height = size
    pixels = np.full((height, width, 3), level, np.uint8) + np.arange(height * width * 3, dtype=np.uint8).reshape(
        height, width, 3
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes; five images to train on, two to test on."""
    names = ["train/dog/2.png", "train/dog/10.png", "train/cat/a.PNG", "train/cat/b.jpeg", "train/cat/c.jpg"]
    for level, name in enumerate([*names, "test/cat/x.png", "test/dog/y.png"]):
        picture(tmp_path / name, level)
    (tmp_path / "train" / "cat" / ".DS_Store").write_bytes(b"hidden")
    return tmp_path


def test_card_and_reading_agree(folder: Path) -> None:
    card, splits = folder_card(folder), read_folder(folder)
    assert card.classes == splits.classes == ("cat", "dog")
    assert card.shape == (3, 4, 6)
    assert (card.train_images, card.test_images) == (len(splits.train), len(splits.test)) == (5, 2)
    assert splits.train.pixels.shape == (5, 3, 4, 6)
    assert splits.train.pixels.dtype == torch.uint8
    assert splits.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert splits.test.labels.tolist() == [0, 1]


def test_images_are_read_in_sorted_order_as_they_are(folder: Path) -> None:
    pixels = read_folder(folder).train.pixels
    for place, name in ((0, "cat/a.PNG"), (1, "cat/b.jpeg"), (3, "dog/10.png"), (4, "dog/2.png")):
        expected = torch.from_numpy(np.array(Image.open(folder / "train" / name))).permute(2, 0, 1)
        assert torch.equal(pixels[place], expected), name


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/1.jpg"):
        picture(tmp_path / name, mode="L")
    assert folder_card(tmp_path).shape == (1, 4, 6)
    splits = read_folder(tmp_path)
    assert splits.train.pixels.shape == (2, 1, 4, 6)
    assert splits.test.pixels.shape == (0, 1, 4, 6)


def test_a_grey_image_among_colours_becomes_colour(folder: Path) -> None:
    picture(folder / "train/cat/d.png", mode="L")
    channels = read_folder(folder).train.pixels[3]
    assert torch.equal(channels[0], channels[2])


def test_a_registered_folder_is_opened_by_its_name(folder: Path) -> None:
    inputs = Inputs(datasets={"pets": FolderDataset(folder)})
    splits = open_dataset(DatasetRef(name="pets", limit_train=2), inputs, folder)
    assert len(splits.train) == 2
    assert len(splits.test) == 2


def test_a_card_needs_no_torch(folder: Path) -> None:
    code = f"import sys; from pathlib import Path; import core.folder as f; f.folder_card(Path({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", code + "; assert 'torch' not in sys.modules"], check=True)


def other_size(folder: Path) -> str:
    picture(folder / "train/dog/wide.png", size=(7, 4))
    return r"train/dog/wide\.png is 7x4, the first image 6x4"


def broken(folder: Path) -> str:
    file = folder / "test/dog/y.png"
    file.write_bytes(file.read_bytes()[:50])
    return r"test/dog/y\.png cannot be decoded"


def broken_header(folder: Path) -> str:
    content = bytearray((folder / "train/dog/10.png").read_bytes())
    content[11] ^= 1  # the length of the first chunk
    (folder / "train/dog/10.png").write_bytes(content)
    return r"train/dog/10\.png cannot be read"


def no_image(folder: Path) -> str:
    (folder / "train/dog/2.png").write_bytes(b"GIF89a, if at all")
    return r"train/dog/2\.png cannot be read"


def colour_after_grey(folder: Path) -> str:
    picture(folder / "train/cat/A.png", mode="L")
    return r"train/cat/a\.PNG is in colour, the first image is grey"


def deep(folder: Path) -> str:
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(folder / "train/cat/c.png")
    return r"train/cat/c\.png has pixels of mode I;16"


@pytest.mark.parametrize("spoil", [other_size, broken, broken_header, no_image, colour_after_grey, deep])
def test_an_image_that_cannot_be_used_is_named(folder: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    read_folder(folder)
    message = spoil(folder)
    with pytest.raises(DataUnavailable, match=message):
        read_folder(folder)


def no_train(folder: Path) -> str:
    (folder / "train").rename(folder / "training")
    return "has no folder train/"


def one_class(folder: Path) -> str:
    (folder / "train" / "dog").rename(folder / "dog")
    return "holds 1 class folders"


def empty_class(folder: Path) -> str:
    (folder / "train" / "owl").mkdir()
    return "train/owl holds no images"


def unknown_class(folder: Path) -> str:
    picture(folder / "test/owl/1.png")
    return "test/owl is of a class"


def stray_file(folder: Path) -> str:
    (folder / "train" / "readme.txt").write_text("a file among the classes")
    return r"readme\.txt is not a folder"


def other_format(folder: Path) -> str:
    (folder / "train" / "cat" / "d.webp").write_bytes(b"")
    return r"cat/d\.webp is neither"


@pytest.mark.parametrize("spoil", [no_train, one_class, empty_class, unknown_class, stray_file, other_format])
def test_a_folder_of_another_layout_is_refused_when_registered(folder: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    folder_card(folder)
    message = spoil(folder)
    for read in (folder_card, read_folder):
        with pytest.raises(DataUnavailable, match=message):
            read(folder)
