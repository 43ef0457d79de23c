"""Servers of a benchmark's own: PostgreSQL and Redis in a folder that goes with them, and the API in a process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.migrations import migrate
from local.postgres import Postgres
from local.redis import Redis
from store.database import Database

PORT = 8471


@dataclass(frozen=True)
class Place:
    """Where the servers of a benchmark are."""

    folder: Path
    database: Database
    redis_url: str

    @property
    def blobs(self) -> Path:
        """Where the API looks for blobs."""
        return self.folder / "blobs"

    def environment(self) -> dict[str, str]:
        """What a process of the service is told."""
        return {"DATABASE_URL": self.database.url, "REDIS_URL": self.redis_url, "SIEVE_HOME": str(self.folder)}


@contextlib.contextmanager
def servers() -> Iterator[Place]:
    """PostgreSQL, migrated, and Redis, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="sieve-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        postgres, redis = Postgres(folder / "postgres", log=folder / "log"), Redis(log=folder / "redis.log")
        with contextlib.ExitStack() as started:
            for server in (postgres, redis):
                server.start()
                started.callback(server.stop)
            migrate(postgres.url())
            database = Database(postgres.url())
            started.callback(database.dispose)
            yield Place(folder, database, redis.url)


@contextlib.contextmanager
def served(place: Place, port: int = PORT, **told: str) -> Iterator[tuple[str, int]]:
    """The API as `sieve up` runs it, without a limit on the rate; gives its address and pid."""
    command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", "--port", str(port)]
    command += ["--log-level", "warning", "--no-access-log"]
    url = f"http://127.0.0.1:{port}"
    environment = {**place.environment(), "SIEVE_REQUESTS_PER_SECOND": "0", **told}
    with running(command, environment, f"{url}/healthz") as pid:
        yield url, pid


@contextlib.contextmanager
def running(command: list[str], environment: Mapping[str, str], url: str) -> Iterator[int]:
    """A server in a process of its own, from when it answers at `url`; gives its pid."""
    with subprocess.Popen(command, env=os.environ | environment) as process:  # noqa: S603 - ours
        try:
            for _ in range(600):
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(url)
                    break
                time.sleep(0.1)
            else:
                raise TimeoutError(f"{command[0]} does not answer")
            yield process.pid
        finally:
            process.terminate()
