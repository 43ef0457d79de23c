"""Exports of uploads without the service: what rounds says so, what is no upload is refused, splits stay apart."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from core.context import FolderDataset, Inputs, MemoryContext, StoredDataset
from core.errors import SpecRefused
from core.images import Images, save_dataset
from formats.arrivals import Refused
from formats.card import FORMATS, About
from formats.images import open_images
from formats.routines.export import export
from formats.routines.ingest import ingest
from formats.unpacking import Task, unpack
from sieve.specs import ExportSpec, IngestSpec

CLASSES = ("cat", "dog", "owl")
ABOUT = About("ds_x", "", "", {"job": "job_x", "spec": {"kind": "ingest"}, "inputs": {}}, constructed=False)
STORY = {
    "dataset": "ds_mine",
    "job": "job_mine",
    "spec": {"kind": "ingest", "upload": {"name": "upl_mine"}, "size": [6, 5], "test_fraction": 0.25, "seed": 3},
    "seed": 3,
    "inputs": {"upl_mine": "0" * 64},
    "names": {"upl_mine": "`pets`\n.zip"},
    "software": {},
    "hardware": {},
}


def images(count: int, seed: int, columns: dict[str, torch.Tensor] | None = None) -> Images:
    draws = np.random.default_rng(seed)
    pixels = torch.from_numpy(draws.random((count, 3, 6, 5), np.float32))
    return Images(pixels, torch.from_numpy(draws.integers(0, 3, count)), columns or {})


def test_an_upload_of_floats_is_told_what_8_bits_do_to_pixels(tmp_path: Path) -> None:
    path, train, test = tmp_path / "dataset.safetensors", images(60, 0), images(20, 1)
    save_dataset(path, train, CLASSES, test=test)
    inputs = Inputs(datasets={"ds_mine": StoredDataset(path)}, provenance={"ds_mine": STORY})
    context = MemoryContext(tmp_path / "scratch")
    made = export(ExportSpec.model_validate({"dataset": "ds_mine", "format": "bundle"}), inputs, context)
    assert context.seen[-1] == ("writing", 80, 80)
    assert "rounding" not in made.figures  # the exact file is in it
    made = export(ExportSpec.model_validate({"dataset": "ds_mine", "format": "imagefolder"}), inputs, context)
    both = torch.cat([train.batch(slice(None)), test.batch(slice(None))])
    moved = (both * 255).round() / 255 - both
    assert not made.figures["exact"]
    assert made.figures["rounding"]["largest"] == pytest.approx(moved.abs().max().item(), abs=1e-6)
    assert made.figures["rounding"]["l2"]["mean"] == pytest.approx(moved.flatten(1).norm(dim=1).mean().item(), rel=1e-4)
    with tarfile.open(context.scratch / "ds_mine.tar") as archive:
        names = archive.getnames()
    assert sum(name.startswith("train/") for name in names) == 61
    assert sum(name.startswith("test/") for name in names) == 21


def test_the_card_of_an_upload_says_what_was_done_to_it(tmp_path: Path) -> None:
    path = tmp_path / "dataset.safetensors"
    save_dataset(path, images(9, 0), CLASSES)
    inputs = Inputs(datasets={"ds_mine": StoredDataset(path)}, provenance={"ds_mine": STORY})
    context = MemoryContext(tmp_path / "scratch")
    export(ExportSpec.model_validate({"dataset": "ds_mine"}), inputs, context)
    with tarfile.open(context.scratch / "ds_mine.tar") as archive:
        card = archive.extractfile("ds_mine/README.md").read().decode()  # type: ignore[union-attr]
    assert "# Uploaded images ('pets'\N{REPLACEMENT CHARACTER}.zip)\n" in card
    assert "scaled, bicubic, until they covered 6 x 5 pixels" in card
    assert "0.25 of each class was set aside for testing, drawn by seed 3" in card
    assert "Rounding moves every pixel by up to 1/510,\n  and what is finer than that is lost" in card
    assert "## Columns" not in card
    assert "\n\n\n" not in card


def test_a_registered_folder_is_refused(tmp_path: Path) -> None:
    inputs = Inputs(datasets={"ds_folder": FolderDataset(tmp_path)})
    with pytest.raises(SpecRefused, match="is a folder of this server"):
        export(ExportSpec.model_validate({"dataset": "ds_folder"}), inputs, MemoryContext(tmp_path))


def test_columns_that_test_images_lack_are_null(tmp_path: Path) -> None:
    path = tmp_path / "dataset.safetensors"
    save_dataset(path, images(9, 0, {"norm": torch.rand(9)}), CLASSES, test=images(4, 1))
    FORMATS.get("parquet").write(open_images(path), ABOUT, tmp_path / "out.tar", lambda _: None)
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert archive.getnames() == ["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"]
        train, test = (pq.read_table(archive.extractfile(name)) for name in archive.getnames())
    assert train.schema == test.schema
    assert (train["norm"].null_count, test["norm"].null_count) == (0, 4)
    for form in ("bundle", "imagefolder", "npz", "webdataset"):
        FORMATS.get(form).write(open_images(path), ABOUT, tmp_path / form, lambda _: None)


def test_a_tar_of_parquet_is_taken_in_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    stored, whole = tmp_path / "dataset.safetensors", tmp_path / "whole.tar"
    save_dataset(stored, images(9, 0), CLASSES, test=images(4, 1))
    FORMATS.get("parquet").write(open_images(stored), ABOUT, whole, lambda _: None)
    with tarfile.open(whole) as archive:
        archive.extractall(tmp_path / "parts", filter="data")
    train, test = (
        tmp_path / "parts/data/train-00000-of-00001.parquet",
        tmp_path / "parts/data/test-00000-of-00001.parquet",
    )

    def packed(*files: tuple[str, Path]) -> Path:
        path = tmp_path / "packed.tar"
        with tarfile.open(path, "w") as archive:
            for name, file in files:
                archive.add(file, name)
        return path

    readme, link, short = tmp_path / "README.md", tmp_path / "link", tmp_path / "short"
    readme.write_text("hello")
    link.symlink_to("/etc/passwd")
    short.write_bytes(train.read_bytes()[:-9])
    path = packed(("README.md", readme), ("test/0.parquet", test), ("train/0.parquet", train))
    assert unpack(Task(str(path), str(tmp_path)))["images"] == 13
    assert np.load(tmp_path / "splits.npy").tolist() == [1] * 4 + [0] * 9
    for files, why in (
        ((("train.parquet", train), ("x.parquet", link)), "is no ordinary file"),
        ((("train.parquet", train), ("../test.parquet", test)), "leads out"),
        ((("train.parquet", train), ("test.parquet", short)), "no whole parquet file"),
        ((("train.parquet", train), ("test.parquet", readme)), "no whole parquet file"),
    ):
        with pytest.raises(Refused, match=why):
            unpack(Task(str(packed(*files)), str(tmp_path)))


def test_twins_on_both_sides_of_a_drawn_split_are_counted(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
    labels = np.arange(80) % 2
    np.savez(tmp_path / "x.npz", images=np.concatenate([pixels, pixels]), labels=labels)
    spec = IngestSpec.model_validate({"upload": "upl_x", "test_fraction": 0.5, "seed": 1})
    made = ingest(spec, Inputs(files={"upl_x": tmp_path / "x.npz"}), MemoryContext(tmp_path / "scratch"))
    assert made.figures["duplicates"] == 40
    assert made.figures["label_counts"] == {"train": [20, 20], "test": [20, 20]}
    stored = open_images(tmp_path / "scratch/dataset.safetensors")
    assert stored.test is not None
    train, test = ({image.tobytes() for image in np.concatenate(list(split.batches()))} for split in stored.splits)
    assert made.figures["duplicates_across_splits"] == len(train & test) > 0
