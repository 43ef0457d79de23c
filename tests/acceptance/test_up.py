"""`python -m local up`, as a person runs it: started, asked for twice, hurt, killed, and stopped."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from local.home import CHECKOUT, Home


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sieve-up-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "SIEVE_CONFIG": str(folder / "config.toml"), "SIEVE_HOME": str(folder / "home")}


def asked(folder: Path, *arguments: str) -> str:
    """What `python -m local` prints."""
    command = [sys.executable, "-m", "local", *arguments]
    return subprocess.run(
        command, env=environment(folder), cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout


def who(url: str, key: str) -> dict[str, str]:
    """Whose key this is."""
    answer = httpx.get(f"{url}/v1/me", headers={"Authorization": f"Bearer {key}"}, timeout=60)
    me: dict[str, str] = answer.raise_for_status().json()
    return me


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A started service and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "local", "up"],
        env=environment(folder),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first.startswith("Feature Sieve is up: "):
            process.kill()
            pytest.fail(f"{first}{process.communicate()}")
        yield process, first.split()[-1]
    finally:
        process.terminate()  # in order, so that no socket folder is left
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def test_starts_logs_in_mends_itself_answers_twice_and_stops(folder: Path) -> None:
    with running(folder) as (process, url):
        home = Home(folder / "home")
        key = home.key_file.read_text().strip()
        assert stat.S_IMODE(home.key_file.stat().st_mode) == 0o600
        assert (folder / "config.toml").read_text() == f'url = "{url}"\nkey = "{key}"\n'
        assert who(url, key)["role"] == "admin"

        api = find(process.pid, "local.serve")
        os.kill(api, signal.SIGKILL)
        wait_for(lambda: find(process.pid, "local.serve") not in (0, api))
        member = asked(folder, "admin", "add-user", "ada").strip()
        assert who(url, member)["role"] == "member"  # it waits in the socket's queue until the API is back

        assert asked(folder, "up") == f"Feature Sieve is up already: {url}\n"

        sockets = (home.path / "sockets").read_text().split()
        children = descendants(process.pid)
        assert len(sockets) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert not [pid for pid in children if alive(pid)]
        assert not [path for path in sockets if Path(path).exists()]
        assert home.address() is None


def test_after_kill_9_nothing_is_left_and_the_next_start_goes_on(folder: Path) -> None:
    elsewhere = 'url = "https://sieve.example.org"\nkey = "sieve_a_b"\n'
    (folder / "config.toml").write_text(elsewhere)
    with running(folder) as (process, _):
        key = (folder / "home" / "admin.key").read_text()
        sockets = (folder / "home" / "sockets").read_text().split()
        children = descendants(process.pid)
        assert len(children) >= 4
        process.kill()
        process.wait()
        wait_for(lambda: not [pid for pid in children if alive(pid)])
    with running(folder) as (_, url):
        assert not [path for path in sockets if Path(path).exists()]
        assert (folder / "home" / "admin.key").read_text() == key
        assert who(url, key.strip())["name"] == "admin"
    assert (folder / "config.toml").read_text() == elsewhere  # nobody was logged out of another server


def test_what_cannot_be_is_said_in_one_line(folder: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "local", "admin", "add-user", "ada"],
        env=environment(folder),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: no service runs on")


def statuses() -> dict[int, list[str]]:
    """State and parent of every process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def descendants(pid: int) -> list[int]:
    below, parents = [pid], statuses()
    for one in below:
        below += [child for child, fields in parents.items() if int(fields[1]) == one]
    return below[1:]


def alive(pid: int) -> bool:
    return statuses().get(pid, ["Z"])[0] != "Z"


def find(pid: int, word: str) -> int:
    """The child of `pid` whose command holds `word`, or 0."""
    for child in descendants(pid):
        try:
            if word in Path(f"/proc/{child}/cmdline").read_text().split("\0"):
                return child
        except (FileNotFoundError, ProcessLookupError):
            continue
    return 0


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
