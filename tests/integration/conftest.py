"""The application on a real database and a real Redis, and people who ask it things."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from store import accounts
from store.blobs import DiskBlobs
from store.database import Database
from store.settings import Settings
from tests.hand import Hand


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(DATABASE_URL=database_url, REDIS_URL=redis_url, home=tmp_path / "home")


@pytest.fixture
def keys(database: Database) -> dict[str, str]:
    """Keys of two members, ada and bob, and of the admin, root."""
    with database.transaction() as session:
        people = {"ada": "member", "bob": "member", "root": "admin"}
        return {
            name: accounts.create_key(session, accounts.create_user(session, name, role))  # type: ignore[arg-type]
            for name, role in people.items()
        }


@pytest.fixture
def visitor(settings: Settings) -> Iterator[TestClient]:
    """Somebody without a key."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def _signed_in(visitor: TestClient, key: str) -> TestClient:
    client = TestClient(visitor.app, headers={"Authorization": f"Bearer {key}"}, raise_server_exceptions=False)
    client.portal = visitor.portal  # one event loop for all requests, as a server has
    return client


@pytest.fixture
def ada(visitor: TestClient, keys: dict[str, str]) -> TestClient:
    return _signed_in(visitor, keys["ada"])


@pytest.fixture
def bob(visitor: TestClient, keys: dict[str, str]) -> TestClient:
    return _signed_in(visitor, keys["bob"])


@pytest.fixture
def root(visitor: TestClient, keys: dict[str, str]) -> TestClient:
    return _signed_in(visitor, keys["root"])


@pytest.fixture
def hand(database: Database, settings: Settings) -> Hand:
    """A worker played by hand."""
    return Hand(database, DiskBlobs(settings.blobs))
