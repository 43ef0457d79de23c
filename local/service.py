"""The whole service on one machine: PostgreSQL, Redis, schema, first admin, API and worker, started in that order."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Self

import httpx

from local.errors import ServerFailed
from local.home import CHECKOUT, Address, Home
from local.migrations import migrate
from local.postgres import Postgres
from local.redis import Redis
from local.servers import start, stop
from store import accounts
from store.database import Database

DEFAULT_PORT = 8420
READY_SECONDS = 120.0
DRAIN_SECONDS = 75.0
"""A worker drains within 60 s; then it is killed."""
LONGEST_PAUSE = 30.0
"""Seconds before a process that keeps dying is started once more."""


class Kept:
    """A process that is started again, after a growing pause, whenever it ends."""

    def __init__(self, name: str, launch: Callable[[], subprocess.Popen[bytes]], say: Callable[[str], None]) -> None:
        self.name = name
        self.process = launch()
        self._launch = launch
        self._say = say
        self._began = time.monotonic()
        self._pause = 0.5
        self._due: float | None = None

    def tend(self) -> None:
        """Look whether it runs. Cheap: call it often."""
        now = time.monotonic()
        if self._due is not None:
            if now >= self._due:
                self.process, self._began, self._due = self._launch(), now, None
        elif self.process.poll() is not None:
            if now - self._began > 2 * LONGEST_PAUSE:
                self._pause = 0.5
            self._say(f"the {self.name} ended (status {self.process.returncode}); starting it again")
            self._due = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)


class Service:
    """The service of a data folder that the caller holds. Start, tend and stop it from one thread."""

    def __init__(
        self,
        home: Home,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Without `port`, it is DEFAULT_PORT or else a free one. `environment` is added to the API's and worker's."""
        self.home = home
        self.postgres = Postgres(home.postgres, log=home.logs / "postgres.log")
        self.redis = Redis(log=home.logs / "redis.log")
        self.api: Kept | None = None
        self.worker: Kept | None = None
        self.key = ""
        """The first admin's API key."""
        self._say = say
        self._extra = dict(environment or {})
        self._listening = _listen(host, port)

    @property
    def url(self) -> str:
        """The API's address."""
        host, port = self._listening.getsockname()[:2]
        return f"http://{host}:{port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until the API says that it is ready, and that there are slots to run jobs.

        A worker that takes long to warm up, on a slow or busy machine, is not waited for any longer than the API would
        be: jobs are taken, and wait for it.

        Raises:
            LocalError: something did not start; what had started was stopped.
        """
        try:
            self.postgres.start()
            self.redis.start()
            self.home.note_sockets(self.postgres.sockets, self.redis.sockets)
            migrate(self.postgres.url())
            self.key = self._first_admin()
            self.api = Kept("API", self._launch_api, self._say)
            self.worker = Kept("worker", self._launch_worker, self._say)
            self._wait_until_ready(self.api, self.worker)
        except BaseException:
            self.stop(drain_seconds=0)
            raise
        self.home.publish(Address(self.url, self.postgres.url(), self.redis.url))

    def tend(self) -> None:
        """Start again what has ended. Call it several times a second."""
        for server in (self.postgres, self.redis):
            if server.process is not None and server.process.poll() is not None:
                self._say(f"{type(server).__name__} ended (status {server.process.returncode}); starting it again")
                server.start()
        for kept in (self.api, self.worker):
            if kept is not None:
                kept.tend()

    def stop(self, *, drain_seconds: float = DRAIN_SECONDS, hurry: Callable[[], bool] = lambda: False) -> None:
        """Let the worker end what it must, then stop everything. `hurry` is asked whether to wait no longer."""
        if self.worker is not None:
            _drain(self.worker.process, drain_seconds, hurry)
        if self.api is not None:
            stop(self.api.process, (signal.SIGTERM, 5))
        self.worker = self.api = None
        self.redis.stop()
        self.postgres.stop()
        self._listening.close()

    def environment(self) -> dict[str, str]:
        """What API and worker are told."""
        told = {
            "DATABASE_URL": self.postgres.url(),
            "REDIS_URL": self.redis.url,
            "SIEVE_HOME": str(self.home.path),
            "PYTHONUNBUFFERED": "1",
        }
        return {**os.environ, **told, **self._extra}

    def _launch_api(self) -> subprocess.Popen[bytes]:
        socket_number = self._listening.fileno()
        return self._launch("api", ["local.serve", str(socket_number)], keep_open=[socket_number])

    def _launch_worker(self) -> subprocess.Popen[bytes]:
        return self._launch("worker", ["worker"])

    def _launch(self, name: str, module: list[str], keep_open: list[int] | None = None) -> subprocess.Popen[bytes]:
        return start(
            [sys.executable, "-m", *module],
            log=self.home.logs / f"{name}.log",
            ends_by=signal.SIGKILL,  # without its database there is nothing that it could still do in order
            keep_open=keep_open or [],
            environment=self.environment(),
            folder=CHECKOUT,
        )

    def _first_admin(self) -> str:
        """The key in the data folder; at the first start, that of a new user `admin`."""
        if self.home.key_file.exists():
            return self.home.key_file.read_text().strip()
        database = Database(self.postgres.url())
        try:
            with database.transaction() as session:
                admin = accounts.find_user(session, "admin") or accounts.create_user(session, "admin", "admin")
                key = accounts.create_key(session, admin, "this machine")
        finally:
            database.dispose()
        self.home.write_private(self.home.key_file, key + "\n")
        return key

    def _wait_until_ready(self, *kept: Kept) -> None:
        until = time.monotonic() + READY_SECONDS
        answered = False
        with httpx.Client(base_url=self.url, trust_env=False, timeout=10) as client:
            while True:
                try:
                    answer = client.get("/readyz")
                    answered = answer.is_success
                    if answered and answer.json()["slots"]:
                        return
                except httpx.TransportError:
                    pass
                for one in kept:
                    if one.process.poll() is not None:
                        raise ServerFailed(
                            f"The {one.name}", "did not start.", self.home.logs / f"{one.name}.log".lower()
                        )
                if time.monotonic() > until:
                    if answered:
                        self._say("the worker is still warming up: jobs are taken, and wait for it")
                        return
                    raise ServerFailed(
                        "The API", f"is not ready after {READY_SECONDS:.0f} s.", self.home.logs / "api.log"
                    )
                time.sleep(0.05)


def _listen(host: str, port: int | None) -> socket.socket:
    try:
        return socket.create_server((host, DEFAULT_PORT if port is None else port), backlog=512)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        if port is not None:
            raise ServerFailed("The API", f"cannot have port {port}: another program listens there.") from None
        return socket.create_server((host, 0), backlog=512)


def _drain(process: subprocess.Popen[bytes], seconds: float, hurry: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    process.terminate()
    while process.poll() is None and time.monotonic() < until and not hurry():
        time.sleep(0.05)
    stop(process)
