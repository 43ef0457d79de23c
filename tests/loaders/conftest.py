"""A dataset that a job made, exported by the running service in every format, and downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from formats.card import FORMATS
from formats.images import ImageFile, open_images
from local.postgres import Postgres
from local.redis import Redis
from sieve import Client
from sieve.job import Job
from sieve.objects import Dataset
from store import accounts
from store.database import Database
from store.settings import Settings
from tests.serving import served
from tests.working import workplace

CLASSES = tuple(f"{number}_{'big cat' if number else 'plane'}" for number in range(12))
"""Twelve, so that `10` could sort before `2`; as folder names they sort as strings."""
IMAGES = 600
"""More than a batch."""


@dataclass(frozen=True)
class Downloaded:
    """The dataset as the service keeps it, and its files by format."""

    stored: ImageFile
    files: dict[str, Path]
    exports: dict[str, Job]
    client: Client
    database: Database


@pytest.fixture(scope="module")
def downloaded(
    postgres: Postgres, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Downloaded]:
    """A D_rand of coloured noise, through the service: registered folder, training, synthesis, exports, downloads."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("downloads")
    _draw(folder / "noise")
    with workplace(postgres, redis_server.url, home) as place, place.working():
        with place.database.transaction() as session:
            key = accounts.create_key(session, accounts.create_user(session, "root", "admin"))
        settings = Settings(DATABASE_URL=place.database_url, REDIS_URL=place.redis_url, home=home)
        with served(settings) as url, Client(url, key) as client:
            body = {"name": "noise", "folder": str(folder / "noise")}
            client.transport.json("POST", "/v1/datasets", body=body)
            train = {"kind": "train", "dataset": "noise", "architecture": "convnet", "epochs": 1, "batch_size": 64}
            model = client.submit(train)
            how = {"method": "random_target", "epsilon": 0.5, "steps": 3}
            made = {"kind": "synthesize", "dataset": "noise", "model": model.id, "construction": how, "seed": 7}
            dataset = client.dataset(client.submit(made).wait().outputs["dataset"])
            exports = {form: dataset.export(form) for form in FORMATS.names()}  # type: ignore[arg-type]
            files = _fetched(exports, folder)
            stored = open_images(dataset.download(folder))
            yield Downloaded(stored, files, exports, client, place.database)


@dataclass(frozen=True)
class Uploaded:
    """A dataset with a test split that somebody sent, and its files by format."""

    sent: Path
    splits: dict[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]
    """Images [n, C, H, W] and labels [n] of each split, as they were sent."""
    dataset: Dataset
    files: dict[str, Path]
    exports: dict[str, Job]
    client: Client


@pytest.fixture(scope="module")
def uploaded(downloaded: Downloaded, tmp_path_factory: pytest.TempPathFactory) -> Uploaded:
    """Coloured noise of 8 bits as npz, through the same service: upload, ingest, exports, downloads."""
    folder, draws = tmp_path_factory.mktemp("uploads"), np.random.default_rng(5)
    counts = {"train": IMAGES, "test": 130}
    splits = {
        name: (draws.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8), draws.integers(0, len(CLASSES), count))
        for name, count in counts.items()
    }
    sent = folder / "noise of mine.npz"
    arrays = {f"{name}_images": images for name, (images, _) in splits.items()}
    arrays |= {f"{name}_labels": labels for name, (_, labels) in splits.items()}
    np.savez(sent, classes=np.array(sorted(CLASSES)), **arrays)
    client = downloaded.client
    dataset = client.dataset(client.ingest(sent).wait(timeout=120).outputs["dataset"])
    exports = {form: dataset.export(form) for form in FORMATS.names()}  # type: ignore[arg-type]
    return Uploaded(sent, splits, dataset, _fetched(exports, folder), exports, client)


def _fetched(exports: dict[str, Job], folder: Path) -> dict[str, Path]:
    """The files of exports, by format, once they are written."""
    files = {}
    for form, job in exports.items():
        (file,) = job.wait(timeout=120).artifacts()
        (folder / form).mkdir()
        files[form] = file.download(folder / form)
    return files


def _draw(folder: Path) -> None:
    draws = np.random.default_rng(0)
    for number in range(IMAGES):
        name = CLASSES[number % len(CLASSES)]
        (folder / "train" / name).mkdir(parents=True, exist_ok=True)
        pixels = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "train" / name / f"{number}.png")
