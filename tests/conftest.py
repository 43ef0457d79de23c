"""Real servers for every test that needs one: PostgreSQL and Redis from the wheels, as the service itself starts them.

The schema is migrated once a session into a template; each test gets a copy of it (about 20 ms, fsync on).
"""

from __future__ import annotations

import itertools
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from local.postgres import Postgres
    from local.redis import Redis
    from store.database import Database

TEMPLATE = "template_sieve"

_numbers = itertools.count()


def pytest_configure() -> None:
    """What tests start hears Ctrl-C, also where the suite runs in a shell's background: there SIGINT is ignored, and
    every process inherits that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A short path that other users may pass through: as root, PostgreSQL runs as somebody else."""
    folder = Path(tempfile.mkdtemp(prefix="sieve-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[Postgres]:
    """The session's PostgreSQL, with an empty, migrated template database."""
    from local.migrations import migrate
    from local.postgres import Postgres

    server = Postgres(server_folder / "postgres", log=server_folder / "postgres.log")
    server.start()
    try:
        execute(server, f"CREATE DATABASE {TEMPLATE}")
        migrate(server.url(TEMPLATE))
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_server(server_folder: Path) -> Iterator[Redis]:
    """The session's Redis."""
    from local.redis import Redis

    server = Redis(log=server_folder / "redis.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """A database of this test's own, with the schema and no rows."""
    name = f"test_{next(_numbers)}"
    execute(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield postgres.url(name)
    execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The store's way to this test's own database."""
    from store.database import Database

    opened = Database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """An emptied Redis."""
    redis_server.wipe()
    return redis_server.url


def execute(server: Postgres, statement: str) -> None:
    """Run a statement outside of any transaction, on the database `postgres`."""
    import psycopg

    with psycopg.connect(host=str(server.sockets), user="sieve", dbname="postgres", autocommit=True) as connection:
        for _ in range(600):
            try:
                connection.execute(statement)
            except psycopg.errors.InsufficientPrivilege:  # autovacuum is in a database that is to be dropped
                time.sleep(0.1)
            else:
                return
        connection.execute(statement)
