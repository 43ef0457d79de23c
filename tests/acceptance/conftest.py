"""The real service on loopback, on a real database, and a client that speaks to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
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


class _Requests(logging.Handler):
    """Requests that the service has answered."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._more = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._more:
            self._lines.append(record.getMessage())
            self._more.notify_all()

    def wait_for(self, line: str) -> None:
        with self._more:
            assert self._more.wait_for(lambda: line in self._lines, 120), self._lines


@pytest.fixture
def answered() -> Iterator[Callable[[str], None]]:
    """Wait until the service has answered a request, such as "GET /v1/jobs 200"."""
    log, handler = logging.getLogger("api.access"), _Requests()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler.wait_for
    log.setLevel(level)
    log.removeHandler(handler)
