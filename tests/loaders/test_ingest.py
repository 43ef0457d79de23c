"""What people bring: exported files come back as they were, folders and the authors' layout too, and nonsense is
refused with its reason."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.images import Splits, load_dataset
from sieve import errors
from sieve.cli import run
from sieve.job import Job
from sieve.sending import PIECE
from tests.loaders.conftest import CLASSES, Downloaded

NAMES = tuple(sorted(CLASSES))


def made(downloaded: Downloaded, job: Job, folder: Path) -> Splits:
    dataset = downloaded.client.dataset(job.wait(timeout=120).outputs["dataset"])
    splits = load_dataset(dataset.download(folder))
    assert dataset.shape == splits.train.pixels.shape[1:]
    assert (dataset.train_images, dataset.test_images) == (len(splits.train), len(splits.test))
    assert dataset.classes == splits.classes
    return splits


@pytest.mark.parametrize("form", ["imagefolder", "npz", "parquet", "safetensors"])
def test_what_was_exported_comes_back(downloaded: Downloaded, form: str, tmp_path: Path) -> None:
    splits = made(downloaded, downloaded.client.ingest(downloaded.files[form]), tmp_path)
    exact = np.concatenate(list(downloaded.stored.train.batches()))
    labels = downloaded.stored.train.labels
    if form == "imagefolder":
        assert [name.partition("_")[2] for name in splits.classes] == [name.replace(" ", "_") for name in NAMES]
    else:
        assert splits.classes == NAMES
    pixels = splits.train.batch(slice(None)).numpy()
    assert (splits.train.labels.numpy() == labels).all()
    assert np.abs(pixels - exact).max() <= (1 / 510 + 1e-6 if form in ("imagefolder", "parquet") else 0)


def test_a_folder_is_sent_as_it_lies(downloaded: Downloaded, tmp_path: Path) -> None:
    draws = np.random.default_rng(1)
    for split, count in (("train", 6), ("val", 2)):
        for name in ("cat", "dog"):
            place = tmp_path / "pets" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                size = (12, 10, 3) if number else (20, 16, 3)
                Image.fromarray(draws.integers(0, 256, size, dtype=np.uint8)).save(place / f"{number}.png")
    (tmp_path / "pets" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "pets" / "README.txt").write_text("hello")
    client = downloaded.client
    with pytest.raises(errors.JobUnsuccessful, match="is 12x10x3, the first image 20x16x3; a size"):
        client.ingest(tmp_path / "pets").wait(timeout=60)
    job = client.ingest(tmp_path / "pets", size=(10, 12))
    splits = made(downloaded, job, tmp_path)
    assert splits.classes == ("cat", "dog")
    assert (len(splits.train), len(splits.test)) == (12, 4)
    assert job.result is not None
    assert job.result["resized"] == 16
    dataset = job.outputs["dataset"]
    train = {"kind": "train", "dataset": dataset, "architecture": "convnet", "epochs": 1, "batch_size": 4}
    trained = client.submit(train)
    judged = {"kind": "evaluate", "model": trained.id, "dataset": dataset}
    evaluated = client.submit(judged | {"attacks": [{"name": "pgd", "options": {"steps": 2}}]}).wait(timeout=120)
    assert evaluated.result is not None
    assert evaluated.result["images"] == 4


def test_a_part_of_each_class_is_held_out(downloaded: Downloaded, tmp_path: Path) -> None:
    file = downloaded.files["npz"]
    splits = made(downloaded, downloaded.client.ingest(file, test_fraction=0.2, seed=3), tmp_path)
    assert len(splits.train) + len(splits.test) == 600
    for label in range(len(CLASSES)):
        mine = int((downloaded.stored.train.labels == label).sum())
        assert int((splits.test.labels == label).sum()) == round(0.2 * mine)
    again = made(downloaded, downloaded.client.ingest(file, test_fraction=0.2, seed=3), tmp_path / "again.safetensors")
    assert (again.test.labels == splits.test.labels).all()
    assert (again.test.pixels == splits.test.pixels).all()


def test_the_authors_layout_is_read_on_this_side(downloaded: Downloaded, tmp_path: Path) -> None:
    with tarfile.open(downloaded.files["torch"]) as archive:
        archive.extractall(tmp_path / "d_robust_CIFAR", filter="data")
    splits = made(downloaded, downloaded.client.ingest(tmp_path / "d_robust_CIFAR"), tmp_path)
    assert (splits.train.labels.numpy() == downloaded.stored.train.labels).all()
    assert (splits.train.pixels.numpy() == np.concatenate(list(downloaded.stored.train.batches()))).all()


def test_nonsense_is_refused_with_its_reason(downloaded: Downloaded, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"hello")
    with pytest.raises(errors.JobUnsuccessful, match="none of: a zip or tar") as refused:
        downloaded.client.ingest(tmp_path / "x.npz").wait(timeout=60)
    assert refused.value.job.status_reason.code == "upload_refused"


def test_an_upload_goes_on_where_it_stopped(downloaded: Downloaded) -> None:
    transport = downloaded.client.transport
    content = bytes(range(256)) * 1000
    upload = transport.json("POST", "/v1/uploads", body={"name": "x", "size": len(content)})
    url = upload["url"]

    def send(at: int, piece: bytes) -> int:
        headers = {"Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"}
        return int(transport.ask("PATCH", url, content=piece, headers=headers).headers["Upload-Offset"])

    assert send(0, content[:1000]) == 1000
    for at, piece in ((0, b"again"), (2000, b"too far"), (1000, content)):
        with pytest.raises(errors.Conflict, match="1000 bytes have arrived"):
            send(at, piece)
    with pytest.raises(errors.Refused, match="has not wholly arrived"):
        downloaded.client.submit({"kind": "ingest", "upload": upload["id"]})
    assert transport.json("GET", url)["arrived"] == 1000
    assert send(1000, content[1000:]) == len(content)
    whole = transport.json("GET", url)
    with pytest.raises(errors.Conflict, match="bytes have arrived"):  # a client that never heard of the last answer
        send(1000, content[1000:])
    assert transport.json("GET", url) == whole
    assert whole["arrived"] == whole["size"] == len(content)
    assert whole["sha256"] == hashlib.sha256(content).hexdigest()
    assert transport.ask("DELETE", url).status_code == 204
    with pytest.raises(errors.NotFound):
        transport.json("GET", url)
    with pytest.raises(errors.Refused, match="/size"):
        transport.json("POST", "/v1/uploads", body={"name": "x", "size": 1 << 60})
    assert PIECE < 16 << 20


def test_the_command_takes_datasets_out_and_in(
    downloaded: Downloaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = downloaded.client.transport.config
    monkeypatch.setenv("SIEVE_URL", config.url)
    monkeypatch.setenv("SIEVE_API_KEY", str(config.key))
    (dataset,) = {job.spec["dataset"]["name"] for job in downloaded.exports.values()}
    assert run(["download", dataset, str(tmp_path), "--format", "parquet"]) == 0
    said = capsys.readouterr()
    assert Path(said.out.strip()) == tmp_path / f"{dataset}.parquet"
    assert (tmp_path / f"{dataset}.parquet").read_bytes() == downloaded.files["parquet"].read_bytes()
    assert run(["upload", str(tmp_path / f"{dataset}.parquet"), "--test-fraction", "0.5"]) == 0
    said = capsys.readouterr()
    made = downloaded.client.dataset(said.out.strip())
    assert "12 classes" in said.err
    assert (made.train_images or 0) + (made.test_images or 0) == 600
    assert run(["download", made.id, str(tmp_path), "--format", "parquet"]) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / f"{made.id}.tar"
    assert run(["upload", str(tmp_path / f"{made.id}.tar")]) == 0
    again = downloaded.client.dataset(capsys.readouterr().out.strip())
    assert again.sha256 == made.sha256
    (tmp_path / "x.zip").write_bytes(b"PK")
    assert run(["upload", str(tmp_path / "x.zip")]) == 1
    assert "none of: a zip or tar" in capsys.readouterr().err
