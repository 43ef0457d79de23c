"""Formats x loaders: public loaders alone find the labels, and the pixels within what the format states."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import unescape
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

from formats.card import FORMATS
from formats.images import open_images
from formats.png import png
from tests.loaders.conftest import Downloaded, Uploaded
from tests.loaders.loaders import HALF_A_STEP, LOADERS, NAMES, Loader, Split, unpacked


@pytest.mark.parametrize(("form", "loader", "exact"), LOADERS, ids=lambda value: getattr(value, "__name__", None))
def test_a_public_loader_finds_labels_and_pixels(
    downloaded: Downloaded, tmp_path: Path, *, form: str, loader: Loader, exact: bool
) -> None:
    images, labels = loader(downloaded.files[form], tmp_path, "train")
    original = np.concatenate(list(downloaded.stored.train.batches()))
    assert (labels == downloaded.stored.train.labels).all()
    if exact:
        assert images.dtype == np.float32
        assert (images == original).all()
    else:
        assert np.abs(images - original).max() <= HALF_A_STEP


@pytest.mark.parametrize("split", ["test", pytest.param("train", marks=pytest.mark.full)])
@pytest.mark.parametrize(("form", "loader", "exact"), LOADERS, ids=lambda value: getattr(value, "__name__", None))
def test_a_public_loader_finds_both_splits_of_an_upload(
    uploaded: Uploaded, tmp_path: Path, *, form: str, loader: Loader, exact: bool, split: Split
) -> None:
    images, labels = loader(uploaded.files[form], tmp_path, split)
    original, own = uploaded.splits[split]
    assert (labels == own).all()
    assert images.shape == original.shape
    assert images.dtype == np.float32 or not exact
    assert (images.astype(np.float32) == original.astype(np.float32) / np.float32(255)).all()  # 8 bits: none rounds


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
            exact = np.concatenate(list(downloaded.stored.train.batches()))
            moved = np.abs(np.rint(exact * 255) / 255 - exact)
            assert told["largest"] == pytest.approx(moved.max(), abs=1e-6), form
            assert told["l2"]["mean"] == pytest.approx(np.sqrt((moved**2).sum((1, 2, 3))).mean(), rel=1e-4)
            assert told["norm"]["exact"]["mean"] == pytest.approx(
                downloaded.stored.train.columns["norm"].mean(), rel=1e-4
            )
            reads = downloaded.stored.train.columns["success"].mean()
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


def test_an_upload_comes_out_with_its_own_story(uploaded: Uploaded, tmp_path: Path) -> None:
    for form, job in uploaded.exports.items():
        assert job.result is not None
        assert job.result["exact"], form
        assert "rounding" not in job.result
        assert (job.result["train_images"], job.result["test_images"]) == (600, 130)
        assert uploaded.files[form].name == job.artifacts()[0].name
    assert uploaded.files["parquet"].suffix == ".tar"
    (folder,) = unpacked(uploaded.files["bundle"], tmp_path).iterdir()
    assert folder.name == uploaded.dataset.id
    told = json.loads((folder / "provenance.json").read_text())
    (upload,) = told["inputs"]
    assert told["spec"]["kind"] == "ingest"
    assert told["spec"]["upload"]["name"] == upload
    assert told["inputs"][upload] == hashlib.sha256(uploaded.sent.read_bytes()).hexdigest()
    assert told["names"] == {upload: uploaded.sent.name}
    document = json.loads((folder / "croissant.json").read_text())
    (source,) = document["prov:wasDerivedFrom"]
    assert (source["identifier"], source["sha256"]) == (upload, told["inputs"][upload])
    assert source["name"] == uploaded.sent.name
    assert document["prov:wasGeneratedBy"]["identifier"] == told["job"]
    assert {record["@id"] for record in document["recordSet"]} == {"train", "test"}
    card = (folder / "README.md").read_text()
    assert f"# Uploaded images ({uploaded.sent.name})" in card
    assert "600 training and 130 test images" in card
    assert "perturb" not in card
    assert "Ilyas" not in card
    front = yaml.safe_load(card.split("---")[1])
    assert [part["split"] for part in front["configs"][0]["data_files"]] == ["train", "test"]
    assert {part["name"]: part["num_examples"] for part in front["dataset_info"]["splits"]} == {
        "train": 600,
        "test": 130,
    }
    nodes = uploaded.dataset.lineage()["nodes"]
    assert [node["what"] for node in nodes] == ["dataset", "upload"]


def test_what_came_out_of_an_upload_goes_in_again(uploaded: Uploaded, tmp_path: Path) -> None:
    sent = {form: uploaded.files[form] for form in ("imagefolder", "npz", "parquet", "safetensors")}
    sent["torch"] = unpacked(uploaded.files["torch"], tmp_path / "torch")
    jobs = {form: uploaded.client.ingest(path) for form, path in sent.items()}
    for form, job in jobs.items():
        dataset = uploaded.client.dataset(job.wait(timeout=120).outputs["dataset"])
        (tmp_path / "again").mkdir(exist_ok=True)
        found = open_images(dataset.download(tmp_path / "again"))
        assert [split.name for split in found.splits] == ["train", "test"], form
        for split in found.splits:
            original, labels = uploaded.splits[split.name]
            assert (split.labels == labels).all(), form
            pixels = np.concatenate(list(split.batches()))
            assert (pixels == original.astype(np.float32) / np.float32(255)).all(), form
        if form in ("npz", "parquet", "safetensors"):
            assert found.classes == NAMES
        if form in ("parquet", "safetensors"):  # those that keep 8 bits and names: the very same file
            assert dataset.sha256 == uploaded.dataset.sha256, form
        assert job.result is not None
        assert job.result["label_counts"].keys() == {"train", "test"}


def test_the_page_of_an_upload_shows_both_splits(uploaded: Uploaded) -> None:
    config = uploaded.client.transport.config
    address = f"/datasets/{uploaded.dataset.id}"
    with httpx.Client(base_url=config.url, headers={"Accept": "text/html"}, follow_redirects=True) as browser:
        form = re.search(r'name="token" value="([^"]*)"', browser.get("/signin").text)
        assert form
        browser.post("/signin", data={"key": str(config.key), "token": form[1]}).raise_for_status()
        train, test = (
            browser.get(address, params={"split": split}).raise_for_status().text for split in uploaded.splits
        )
        assert browser.get(address, params={"split": "neither"}).status_code == 422
    assert "1 – 60 of 600" in train
    assert "1 – 60 of 130" in test
    assert "&split=test&start=60" in unescape(test)
    assert "<option selected>test</option>" in test
    assert "rounded to 8 bits" not in train
    pictures, _ = uploaded.splits["test"]
    assert base64.b64encode(png(pictures[0].transpose(1, 2, 0))).decode() in test
    assert base64.b64encode(png(pictures[0].transpose(1, 2, 0))).decode() not in train
