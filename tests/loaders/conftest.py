"""A dataset that a job made, exported by the running service in every format, and downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from formats.card import FORMATS
from formats.images import ImageFile, open_images
from local.postgres import Postgres
from local.redis import Redis
from sieve import Client
from sieve.job import Job
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
            files = {}
            for form, job in exports.items():
                (file,) = job.wait(timeout=120).artifacts()
                (folder / form).mkdir()
                files[form] = file.download(folder / form)
            stored = open_images(dataset.download(folder))
            yield Downloaded(stored, files, exports, client, place.database)


def _draw(folder: Path) -> None:
    draws = np.random.default_rng(0)
    for number in range(IMAGES):
        name = CLASSES[number % len(CLASSES)]
        (folder / "train" / name).mkdir(parents=True, exist_ok=True)
        pixels = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "train" / name / f"{number}.png")
