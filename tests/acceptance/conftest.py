"""The real service on loopback, on a real database, and a client that speaks to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sieve import Client
from store import accounts
from store.blobs import DiskBlobs
from store.database import Database
from store.settings import Settings
from tests.hand import Hand
from tests.serving import served


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(DATABASE_URL=database_url, REDIS_URL=redis_url, home=tmp_path / "home")


@pytest.fixture
def key(database: Database) -> str:
    with database.transaction() as session:
        return accounts.create_key(session, accounts.create_user(session, "ada", "member"))


@pytest.fixture
def address(settings: Settings) -> Iterator[str]:
    with served(settings) as url:
        yield url


@pytest.fixture
def client(address: str, key: str) -> Iterator[Client]:
    with Client(address, key) as opened:
        yield opened


@pytest.fixture
def hand(database: Database, settings: Settings) -> Hand:
    """A worker played by hand: what is tested here is the client, not the work."""
    return Hand(database, DiskBlobs(settings.blobs))
