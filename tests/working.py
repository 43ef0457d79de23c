"""A real worker, in a process of its own, that also knows the job kind `rehearsal`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from core.cards import KINDS
from local.postgres import Postgres
from store.database import Database
from store.jobs import wish
from store.tables import Job, User
from store.wakeups import Bell
from tests import warm
from tests.conftest import TEMPLATE, execute
from tests.jobs import look, person, submitted
from tests.plugins import rehearsal

ROOT = Path(__file__).parent.parent
SETTINGS = {
    "SIEVE_LEASE_SECONDS": "3",
    "SIEVE_HEARTBEAT_SECONDS": "1",
    "SIEVE_LOOK_SECONDS": "1",
    "SIEVE_CHECKPOINT_SECONDS": "0.3",
    "SIEVE_DEVICES": "cpu",
    "SIEVE_CPU_SLOTS": "2",
}
ENDED = ("succeeded", "failed", "cancelled", "skipped", "paused")

T = TypeVar("T")


@dataclass
class Workplace:
    """A database, a data folder, and the workers that are started on them."""

    database: Database
    database_url: str
    redis_url: str
    home: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.owner: User = person(self.database, "ada")
        self.bell = Bell(self.redis_url)
        plugin = self.home / "plugins" / "lab-1.0.dist-info"
        plugin.mkdir(parents=True)
        (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
        (plugin / "entry_points.txt").write_text("[feature_sieve.kinds]\nrehearsal = rehearsal:ENTRY\n")

    def start(self, **changed: str) -> subprocess.Popen[bytes]:
        """Start a worker. Its log is `worker.log` in the data folder."""
        environment = os.environ | {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "SIEVE_HOME": str(self.home),
            "PYTHONPATH": f"{self.home / 'plugins'}:{ROOT / 'tests' / 'plugins'}",
        }
        environment |= SETTINGS | self.settings | changed
        with (self.home / "worker.log").open("ab") as log:
            if "LD_LIBRARY_PATH" in environment:  # the loader reads it where a process starts, not where one forks
                command = [sys.executable, "-m", "worker"]
                return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            return warm.start(environment, log)

    def log(self) -> str:
        return (self.home / "worker.log").read_text()

    @contextlib.contextmanager
    def working(self, **changed: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker that is ready, until the end of the block."""
        before = self.log().count(": ready with") if (self.home / "worker.log").exists() else 0
        process = self.start(**changed)
        try:
            eventually(lambda: self.log().count(": ready with") > before, 180, self.log)
            yield process
        finally:
            process.kill()
            process.wait()

    def submit(self, spec: Any = None, **fields: Any) -> Job:
        """A rehearsal, or another spec, with a ring of the bell."""
        job = submitted(self.database, self.owner, spec or rehearsal.RehearsalSpec(**fields))
        self.bell.ring()
        return job

    def ask(self, job: Job, wished: Callable[..., Job]) -> None:
        """`wish.cancel` and its like."""
        with self.database.transaction() as session:
            wished(session, session.get_one(Job, job.id))
        self.bell.ring()

    def cancel(self, job: Job) -> None:
        self.ask(job, wish.cancel)

    def until(self, job: Job, *states: str, seconds: float = 90) -> Job:
        """The job once it is in one of these states (by default, has ended or is paused)."""

        def there() -> Job | None:
            now = look(self.database, job.id)
            return now if now.state in (states or ENDED) else None

        return eventually(there, seconds, lambda: f"{look(self.database, job.id).state}\n{self.log()}")


def eventually(answer: Callable[[], T | None], seconds: float = 60, why: Callable[[], str] = lambda: "") -> T:
    """The first answer that is true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := answer():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s\n{why()}")


@contextlib.contextmanager
def workplace(server: Postgres, redis_url: str, home: Path) -> Iterator[Workplace]:
    """On a database of its own, which several tests may share. This process too learns the job kind."""
    name = f"workplace_{os.getpid()}_{time.monotonic_ns()}"
    execute(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    database = Database(server.url(name))
    KINDS.add(rehearsal.ENTRY)
    try:
        yield Workplace(database, server.url(name), redis_url, home)
    finally:
        KINDS._entries.pop(rehearsal.ENTRY.name)
        database.dispose()
        execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def statuses() -> dict[int, tuple[int, str]]:
    """Parent and command of every process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(path.name)] = (int(parent), (path / "cmdline").read_text().replace("\0", " ").strip())
    return found


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    below, all_of_them = [pid], statuses()
    for one in below:
        below += [child for child, (parent, _) in all_of_them.items() if parent == one]
    return below[1:]


def nursery_of(worker: subprocess.Popen[bytes]) -> int:
    """The one child that a worker has."""
    (nursery,) = [pid for pid, (parent, _) in statuses().items() if parent == worker.pid]
    return nursery


def children_of(worker: subprocess.Popen[bytes]) -> list[int]:
    """The processes that do attempts."""
    nursery = nursery_of(worker)
    return [pid for pid, (parent, _) in statuses().items() if parent == nursery]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
