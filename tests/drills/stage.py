"""Where drills are held: PostgreSQL and Redis of our own, data folders, and workers that may be patched."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from core.cards import KINDS
from local.migrations import migrate
from local.postgres import Postgres
from local.redis import Redis
from store import accounts, fsck
from store.blobs import DiskBlobs
from store.database import Database
from store.lifecycle import TERMINAL
from store.tables import Job, Worker
from store.workers import workers
from tests import warm
from tests.conftest import TEMPLATE, execute
from tests.drills import saboteur
from tests.drills.audit import Auditor
from tests.drills.drill import SLACK
from tests.drills.entry import command
from tests.plugins import rehearsal
from tests.working import ROOT, SETTINGS, Workplace, descendants, eventually

READY_SECONDS = 300.0


@dataclass
class Place(Workplace):
    """A database, a data folder, and workers, each with its own log."""

    patches: tuple[str, ...] = ()
    """Of every worker."""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *patches: str, cold: bool = False, **changed: str) -> subprocess.Popen[bytes]:  # type: ignore[override]
        """Start a worker, and do not wait for it. `cold`: by `python -m worker`, which imports everything first."""
        arguments, added = command("worker", (*self.patches, *patches))
        environment = os.environ | {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "SIEVE_HOME": str(self.home),
            "PYTHONPATH": f"{self.home / 'plugins'}:{ROOT / 'tests' / 'plugins'}:{ROOT}",
        }
        environment |= SETTINGS | self.settings | changed
        with (self.home / "worker.log").open("ab") as log:
            if cold:
                process = subprocess.Popen(arguments, cwd=ROOT, env=environment | added, stdout=log, stderr=log)
            else:
                process = warm.start(environment, log, (*self.patches, *patches))
        self.running.append(process)
        return process

    @contextlib.contextmanager
    def served(self, *patches: str) -> Iterator[httpx.Client]:
        """The API in a process of its own, and a client with the owner's key."""
        with self.database.transaction() as session:
            key = accounts.create_key(session, self.owner)
        arguments, added = command("local.serve", (*self.patches, *patches))
        listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        told = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url, "SIEVE_HOME": str(self.home)}
        told["SIEVE_REQUESTS_PER_SECOND"] = "0"  # drills press harder than people may
        plugins = {"PYTHONPATH": f"{self.home / 'plugins'}:{ROOT / 'tests' / 'plugins'}:{ROOT}"}
        with listening, (self.home / "api.log").open("ab") as log:
            process = subprocess.Popen(
                [*arguments, str(listening.fileno())],
                cwd=ROOT,
                env=os.environ | told | plugins | added,
                pass_fds=[listening.fileno()],
                stdout=log,
                stderr=log,
            )
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            try:
                with httpx.Client(
                    base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False
                ) as client:
                    assert client.get("/healthz").is_success, "the API does not answer"
                    yield client
            finally:
                process.kill()
                process.wait()

    def ready(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Wait until a worker has its slots."""
        eventually(lambda: self._has_slots(process.pid), READY_SECONDS, self.log)
        return process

    @contextlib.contextmanager
    def working(self, *patches: str, **changed: str) -> Iterator[subprocess.Popen[bytes]]:  # type: ignore[override]
        """A worker that is ready, until the end of the block."""
        process = self.start(*patches, **changed)
        try:
            yield self.ready(process)
        finally:
            self.end(process)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a worker and all that it started."""
        below = descendants(process.pid)
        for pid in [process.pid, *below]:
            saboteur.kill(pid)
        process.wait()
        if process in self.running:
            self.running.remove(process)

    def holds(self, worker: subprocess.Popen[bytes], jobs: Iterable[Job]) -> list[Job]:
        """Those of the jobs that a worker runs."""
        with self.database.transaction() as session:
            of_worker = select(Job.id).join(Worker, Worker.id == Job.worker_id).where(Worker.pid == worker.pid)
            held = set(session.scalars(of_worker.where(Job.state == "running")))
        return [job for job in jobs if job.id in held]

    def ended(self, jobs: Collection[str]) -> int:
        """How many of these have ended."""
        with self.database.transaction() as session:
            query = select(func.count()).where(Job.id.in_(jobs), Job.state.in_(TERMINAL))
            return session.scalars(query).one()

    def answers(self) -> bool:
        """Does the database?"""
        try:
            return self.ended([]) == 0
        except DBAPIError:
            return False

    def looked_over(self) -> list[str]:
        """What the auditor, and the service's own fsck, find wrong in all that there is."""
        found = [*fsck.rows(self.database), *fsck.bytes_of(self.database, DiskBlobs(self.home / "blobs"))]
        return Auditor.of(self).references() + [f"fsck: {one.message}" for one in found if one.wrong]

    def _has_slots(self, pid: int) -> bool:
        with self.database.transaction() as session:
            return any(worker.pid == pid and worker.slots["slots"] for worker in workers(session))


class Crew:
    """Some workers of one kind, of which the dead are replaced."""

    def __init__(self, place: Place, count: int, *patches: str) -> None:
        """Waits for one of them."""
        self._place = place
        self._patches = patches
        self.workers = [place.start(*patches) for _ in range(count)]
        place.ready(self.workers[0])

    def holder(self, job: Job) -> subprocess.Popen[bytes] | None:
        """Who runs a job now."""
        return next((worker for worker in self.workers if self._place.holds(worker, [job])), None)

    def replace_the_dead(self) -> None:
        """Start as many as have died, and do not wait for them."""
        for number, worker in enumerate(self.workers):
            if worker.poll() is not None:
                self._place.end(worker)
                self.workers[number] = self._place.start(*self._patches)


class Stage:
    """The servers, and what is shared between the drills of one run."""

    def __init__(self, postgres: Postgres, redis: Redis, folder: Path) -> None:
        self.postgres = postgres
        self.redis = redis
        self.folder = folder
        self.off = False
        self.short = False
        self.patches: tuple[str, ...] = ()
        """Of every worker, while a drill is held without its protection."""
        self.draw = random.Random(0)
        """Where moments and victims come from."""
        self._shared: tuple[Place, contextlib.ExitStack] | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._places = 0
        self._wrong: list[str] = []

    @property
    def patience(self) -> float:
        """What bounds in seconds are multiplied by: in the short form others use the machine too."""
        return SLACK if self.short else 1

    @contextlib.contextmanager
    def place(self, **settings: str) -> Iterator[Place]:
        """A database and a data folder of its own."""
        self._places += 1
        name = f"drill_{self._places}"
        home = self.folder / name
        execute(self.postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        url = self.postgres.url(name)
        database = Database(url, pool_size=20)
        place = Place(database, url, self.redis.url, home, dict(settings), patches=self.patches)
        try:
            yield place
            self._wrong += place.looked_over()
        finally:
            for process in list(place.running):
                place.end(process)
            database.dispose()
            execute(self.postgres, f"DROP DATABASE {name} WITH (FORCE)")
            shutil.rmtree(home, ignore_errors=True)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[tuple[Place, subprocess.Popen[bytes]]]:
        """A place with a worker: the one that drills share, or, with patches, one of its own."""
        if self.patches:
            with self.place() as place, place.working() as worker:
                yield place, worker
            return
        if self._shared is None:
            stack = contextlib.ExitStack()
            self._shared = stack.enter_context(self.place()), stack
        place, _ = self._shared
        if self._worker is None or self._worker.poll() is not None:
            self._worker = place.ready(place.start())
        yield place, self._worker

    def look_over(self) -> list[str]:
        """After each drill: what is wrong in any place that it used."""
        wrong, self._wrong = self._wrong, []
        return wrong + (self._shared[0].looked_over() if self._shared is not None else [])

    def clear(self) -> None:
        """End what was shared."""
        if self._shared is not None:
            self._shared[1].close()
        self._shared = self._worker = None


@contextlib.contextmanager
def raised() -> Iterator[Stage]:
    """Servers started, and everything ended and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="sieve-drill-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        postgres = Postgres(folder / "postgres", log=folder / "postgres.log")
        redis = Redis(log=folder / "redis.log")
        stage = Stage(postgres, redis, folder)
        KINDS.add(rehearsal.ENTRY)
        try:
            postgres.start()
            redis.start()
            execute(postgres, f"CREATE DATABASE {TEMPLATE}")
            migrate(postgres.url(TEMPLATE))
            yield stage
        finally:
            KINDS._entries.pop(rehearsal.ENTRY.name)
            stage.clear()
            redis.stop()
            postgres.stop()


def stop_for(server: Postgres | Redis, seconds: float, draw: random.Random) -> None:
    """Kill a server, its memory with it, and start it again after some seconds."""
    assert server.process is not None
    number = draw.choice([signal.SIGKILL, signal.SIGINT]) if isinstance(server, Postgres) else signal.SIGKILL
    server.process.send_signal(number)
    server.process.wait()
    time.sleep(seconds)
    server.start()
