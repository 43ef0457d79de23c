"""What is fuzzed: PostgreSQL, Redis and the API in processes of their own, with people and things in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.migrations import migrate
from local.postgres import Postgres
from local.redis import Redis
from store import accounts
from store.database import Database
from store.tables import Worker
from tests.working import ROOT, eventually

_SLOT = {"name": "cuda:1", "device": "cuda:1", "takes": ["accelerator"], "job": None}


@dataclass(frozen=True)
class Stage:
    """A running service."""

    url: str
    database: Database
    home: Path
    log: Path

    def key_of(self, name: str) -> str:
        """A new key of a user."""
        with self.database.transaction() as session:
            user = accounts.find_user(session, name)
            assert user is not None
            return accounts.create_key(session, user, "fuzz")


@contextlib.contextmanager
def raised() -> Iterator[Stage]:
    """A service with the users `member`, `admin` and `spare`, until the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="sieve-fuzz-"))
    folder.chmod(0o711)
    postgres = Postgres(folder / "postgres", log=folder / "postgres.log")
    redis = Redis(log=folder / "redis.log")
    try:
        postgres.start()
        redis.start()
        migrate(postgres.url())
        database = Database(postgres.url())
        with database.transaction() as session:
            accounts.create_user(session, "member", "member")
            accounts.create_user(session, "admin", "admin")
            accounts.create_user(session, "spare", "member")
            session.add(Worker(id="wrk_1", host="nowhere", pid=1, version="1", slots={"slots": [_SLOT]}))
        home = folder / "home"
        with _serving(postgres, redis, home, folder / "api.log") as url:
            yield Stage(url, database, home, folder / "api.log")
        database.dispose()
    finally:
        redis.stop()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _serving(postgres: Postgres, redis: Redis, home: Path, log: Path) -> Iterator[str]:
    told = {
        "DATABASE_URL": postgres.url(),
        "REDIS_URL": redis.url,
        "SIEVE_HOME": str(home),
        "SIEVE_REQUESTS_PER_SECOND": "0",  # that there is a limit is tested elsewhere
        "SIEVE_LOG_FORMAT": "text",
        "OMP_NUM_THREADS": "1",
    }
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    with listening, log.open("ab") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.serve", str(listening.fileno())],
            cwd=ROOT,
            env=os.environ | told,
            pass_fds=[listening.fileno()],
            stdout=written,
            stderr=written,
        )
        try:
            port = listening.getsockname()[1]
            eventually(lambda: b"startup complete" in log.read_bytes(), 300, log.read_text)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()
