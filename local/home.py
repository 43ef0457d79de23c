"""The data folder: everything that a service on one machine keeps, and the lock that says who runs it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from local.servers import SOCKET_FOLDERS

CHECKOUT = Path(__file__).resolve().parent.parent


def default_home() -> Path:
    """`$SIEVE_HOME`, or `data` in the checkout."""
    return Path(os.environ.get("SIEVE_HOME") or CHECKOUT / "data").absolute()


@dataclass(frozen=True)
class Address:
    """Where a running service is."""

    url: str
    database_url: str
    redis_url: str


class Home:
    """A data folder. Held by one service at a time, through a lock that the kernel drops when its process is gone."""

    def __init__(self, path: Path) -> None:
        """`path` need not exist yet."""
        self.path = path.absolute()
        self._lock: int | None = None

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.path / "logs"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's cluster and its lock."""
        return self.path / "postgres"

    @property
    def key_file(self) -> Path:
        """The first admin's API key, readable by its owner alone."""
        return self.path / "admin.key"

    def hold(self) -> bool:
        """Take the lock; False where a running service has it. Makes the folder when it is missing."""
        if not self.path.exists():
            # Passable as root, for PostgreSQL runs as another user; what is private inside has rights of its own.
            self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True)
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        self._forget_run()
        return True

    def release(self) -> None:
        """Let another service have the folder."""
        if self._lock is not None:
            self._forget_run()
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def publish(self, address: Address) -> None:
        """Write down where the running service is."""
        self.write_private(self._address_file, json.dumps(asdict(address), indent=2) + "\n")

    def address(self, wait_seconds: float = 0) -> Address | None:
        """Where the service that holds this folder is; None where none runs, or none is up within `wait_seconds`."""
        until = time.monotonic() + wait_seconds
        while True:
            with contextlib.suppress(FileNotFoundError):
                return Address(**json.loads(self._address_file.read_text()))
            if time.monotonic() >= until:
                return None
            time.sleep(0.1)

    def note_sockets(self, *folders: Path | None) -> None:
        """Remember folders outside of this one, to remove them after a kill -9."""
        self._sockets_file.write_text("".join(f"{folder}\n" for folder in folders if folder is not None))

    def write_private(self, path: Path, text: str) -> None:
        """Write a whole file, readable by its owner alone."""
        partial = path.with_name(path.name + ".part")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        partial.replace(path)

    @property
    def _address_file(self) -> Path:
        return self.path / "address.json"

    @property
    def _sockets_file(self) -> Path:
        return self.path / "sockets"

    def _forget_run(self) -> None:
        self._address_file.unlink(missing_ok=True)
        if self._sockets_file.exists():
            for line in self._sockets_file.read_text().splitlines():
                folder = Path(line)
                if folder.parent == SOCKET_FOLDERS and folder.name.startswith("sieve-"):
                    shutil.rmtree(folder, ignore_errors=True)
            self._sockets_file.unlink()
