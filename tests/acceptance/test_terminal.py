"""The `sieve` command as a process of its own: in a real terminal, in pipes, and in shells that complete it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sieve import Client
from sieve.specs import TrainSpec
from tests.hand import Hand

ROOT = Path(__file__).parent.parent.parent
MAIN = [sys.executable, "-c", "from sieve.cli import main; main()"]
TRAIN = TrainSpec.model_validate({"dataset": "digits", "architecture": "convnet", "epochs": 2})
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

Seen = Callable[[str, "subprocess.Popen[bytes]"], object]
InTerminal = Callable[..., tuple[int, str]]


@pytest.fixture
def environment(address: str, key: str, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "CI")}
    told = {
        "SIEVE_URL": address,
        "SIEVE_API_KEY": key,
        "SIEVE_CONFIG": str(tmp_path / "none"),
        "TERM": "xterm-256color",
    }
    return kept | told


@pytest.fixture
def in_terminal(environment: dict[str, str]) -> InTerminal:
    """Run the command in a terminal of a width; gives its exit code, and all that it wrote there.

    `seen` is told what was written until now, and the process.
    """

    def run(*arguments: str, width: int = 80, seen: Seen = lambda *_: None, **told: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        process = subprocess.Popen(
            [*MAIN, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=environment | told
        )
        os.close(theirs)
        written = b""
        try:
            while data := os.read(ours, 65536):
                written += data
                seen(written.decode(errors="replace"), process)
        except OSError:  # Linux says so when the last writer has closed it
            pass
        os.close(ours)
        return process.wait(60), written.decode()

    return run


def plain(written: str) -> list[str]:
    return [line.rstrip() for line in _CONTROL.sub("", written).replace("\r\n", "\n").replace("\r", "\n").splitlines()]


@pytest.mark.parametrize("width", [80, 50])
def test_tables_fit(client: Client, hand: Hand, in_terminal: InTerminal, width: int) -> None:
    job = client.submit(TRAIN, name="a rather long name that nobody wants to have cut, but here it is")
    hand.take().progress("training the network", 1, 4)
    code, written = in_terminal("jobs", width=width)
    assert code == 0
    lines = plain(written)
    assert job.id in lines[1]
    assert len(lines) == 2, "a job is a line"
    assert all(len(line) <= width for line in lines)
    assert "\x1b[" in written, "states have colours"
    _, written = in_terminal("jobs", width=width, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", written)


def test_watching_draws_bars_that_fit(client: Client, hand: Hand, in_terminal: InTerminal) -> None:
    job = client.submit(TRAIN, name="a name as long as people give them to jobs")
    attempt = hand.take()
    attempt.progress("training", 1, 4)
    ends: list[str] = []

    def seen(written: str, _: object) -> None:
        if "25%" in written and not ends:
            ends.append("now")
            attempt.succeed({}, model=b"weights")

    code, written = in_terminal("watch", job.id, width=50, seen=seen)
    assert code == 0
    assert ends
    lines = plain(written)
    assert all(len(line) <= 50 for line in lines)
    assert lines[-1] == "succeeded"


def test_ctrl_c_ends_the_watching_and_not_the_job(client: Client, in_terminal: InTerminal) -> None:
    job = client.submit(TRAIN)
    pressing: list[threading.Thread] = []

    def press(process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:  # as people do who are not heard at once
            process.send_signal(signal.SIGINT)
            time.sleep(10)

    def seen(written: str, process: subprocess.Popen[bytes]) -> None:
        if "queued" in written and not pressing:
            pressing.append(threading.Thread(target=press, args=(process,), daemon=True))
            pressing[0].start()

    code, written = in_terminal("watch", job.id, width=200, seen=seen)
    assert code == 130
    assert "Traceback" not in written
    assert f"sieve cancel {job.id}" in written
    assert client.job(job.id).state == "queued"


def test_a_reader_who_has_seen_enough_is_no_error(client: Client, environment: dict[str, str]) -> None:
    for _ in range(3):
        client.submit(TRAIN)
    ours, theirs = os.pipe()
    os.close(ours)
    command = [*MAIN, "jobs", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.fixture
def path(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """An environment in which `sieve` is this checkout's."""
    command = tmp_path / "bin" / "sieve"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nfrom sieve.cli import main\nmain()\n")
    command.chmod(0o755)
    told = {"PATH": f"{command.parent}:{environment['PATH']}", "PYTHONPATH": str(ROOT)}
    return environment | told


def test_bash_completes_commands_and_ids(client: Client, path: dict[str, str]) -> None:
    job = client.submit(TRAIN)
    script = """
        eval "$(sieve completion bash)"
        complete -p sieve > /dev/null || exit 1
        try() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            _sieve_completion sieve
            echo "${COMPREPLY[*]}"
        }
        try sieve wat
        try sieve show job_
        try sieve submit train --architecture con
        try sieve submit study --preset pla
    """
    done = subprocess.run(["bash", "-c", script], env=path, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["watch", job.id, "convnet", "planted"], done.stderr


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("zsh", {"COMP_WORDS": "sieve show job_", "COMP_CWORD": "2"}),
        ("fish", {"COMP_WORDS": "sieve show job_", "COMP_CWORD": "job_"}),
    ],
)
def test_zsh_and_fish_are_told_the_same(
    client: Client, path: dict[str, str], shell: str, words: dict[str, str]
) -> None:
    """What their scripts ask of the command; and where such a shell is installed, that it can read its script."""
    job = client.submit(TRAIN)
    asked = path | words | {"_SIEVE_COMPLETE": f"{shell}_complete"}
    done = subprocess.run(["sieve"], env=asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert job.id in done.stdout
    script = subprocess.run(["sieve", "completion", shell], env=path, capture_output=True, text=True, check=True).stdout
    assert f"{shell}_complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n", "/dev/stdin"], input=script, text=True, check=True)


def test_an_option_goes_before_the_environment_and_that_before_the_file(
    client: Client, address: str, key: str, environment: dict[str, str], tmp_path: Path
) -> None:
    def code(*arguments: str, **told: str) -> int:
        asked = {name: value for name, value in environment.items() if name not in ("SIEVE_URL", "SIEVE_API_KEY")}
        asked |= {"SIEVE_CONFIG": str(tmp_path / "config.toml")} | told
        return subprocess.run(
            [*MAIN, "jobs", *arguments], env=asked, cwd=ROOT, capture_output=True, check=False
        ).returncode

    file = tmp_path / "config.toml"
    file.write_text(f"url = {json.dumps(address)}\nkey = {json.dumps(key)}\n")
    assert code() == 0
    assert code(SIEVE_API_KEY="sieve_wrong") == 3
    assert code("--key", key, SIEVE_API_KEY="sieve_wrong") == 0
