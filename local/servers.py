"""What PostgreSQL and Redis have in common: who they run as, where they may live, how they are started.

Started as root, the servers run as `nobody`. That user must be able to reach their programs and files, and a checkout
below a private folder is out of its reach. Then the servers live below `STATE` instead: folder rights that
others chose are never widened.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from local import leash

STATE = Path("/var/lib/feature-sieve")
"""Where servers live that were started as root and cannot reach the data folder or the virtual environment."""

SOCKET_FOLDERS = Path("/tmp")  # noqa: S108  a socket's path may have 107 bytes: no place below a home or a data folder


@dataclass(frozen=True)
class Unprivileged:
    """The user that servers run as when we are root."""

    uid: int
    gid: int


def unprivileged() -> Unprivileged | None:
    """The user to run servers as, or None to run them as ourselves."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Unprivileged(nobody.pw_uid, nobody.pw_gid)


def hand_over(path: Path, user: Unprivileged | None) -> None:
    """Make a file or folder (not what is in it) the servers' own."""
    if user is not None:
        os.chown(path, user.uid, user.gid)


def can_reach(user: Unprivileged | None, *paths: Path) -> bool:
    """Whether the servers' user can read each file and enter each folder.

    Tried as that user, so that every rule of the system counts.
    """
    if user is None:
        return True
    tests = " && ".join(f'test -{"x" if path.is_dir() else "r"} "${{{index}}}"' for index, path in enumerate(paths))
    asked = subprocess.run(
        ["/bin/sh", "-c", tests, *map(str, paths)], user=user.uid, group=user.gid, extra_groups=[], cwd="/", check=False
    )
    return asked.returncode == 0


def state_folder() -> Path:
    """`STATE`, made when it is missing."""
    STATE.mkdir(mode=0o755, exist_ok=True)
    return STATE


def programs(distribution: str, folder: Path, needed: Sequence[str], user: Unprivileged | None) -> Path:
    """A wheel's folder of server programs, or a copy of it where `user` can reach it.

    `needed` names files in the folder that the server must be able to read, the program itself among them.
    """
    if can_reach(user, *(folder / name for name in needed)):
        return folder
    copy = state_folder() / f"{distribution}-{version(distribution)}"
    if not copy.exists():
        making = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=STATE))
        shutil.copytree(folder, making, dirs_exist_ok=True, ignore=shutil.ignore_patterns("include", "*.a"))
        for path in [making, *making.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            making.rename(copy)
        except OSError:  # another start was faster
            shutil.rmtree(making)
    return copy


def new_socket_folder(user: Unprivileged | None, files: dict[str, str] | None = None) -> Path:
    """A new folder with a short path that the servers' user alone (and root) can enter, holding `files`."""
    folder = Path(tempfile.mkdtemp(prefix="sieve-", dir=SOCKET_FOLDERS))
    for name, text in (files or {}).items():
        path = folder / name
        path.write_text(text)
        path.chmod(0o600)
        hand_over(path, user)
    hand_over(folder, user)
    return folder


def start(
    command: Sequence[str],
    *,
    log: Path,
    ends_by: signal.Signals,
    user: Unprivileged | None = None,
    keep_open: Sequence[int] = (),
    environment: dict[str, str] | None = None,
    folder: Path = Path("/"),
) -> subprocess.Popen[bytes]:
    """Start a child on a leash: if we are killed, the kernel sends it `ends_by`.

    It gets a session of its own, so that Ctrl-C in the terminal reaches only us, and appends what it prints to `log`.
    The leash is tied to the calling thread: call from one that lives as long as the child should.
    """
    who = ["-", "-"] if user is None else [str(user.uid), str(user.gid)]
    wrapper = [sys.executable, "-I", "-S", leash.__file__, str(int(ends_by)), str(os.getpid()), *who]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            [*wrapper, *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment if environment is not None else {"LC_ALL": "C", "PATH": os.defpath},
            pass_fds=tuple(keep_open),
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], *ways: tuple[signal.Signals, float]) -> int:
    """End a child: send each signal and wait its seconds, then SIGKILL. Returns the exit status."""
    for number, seconds in ways:
        if process.poll() is not None:
            break
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    if process.poll() is None:
        process.kill()
    return process.wait()
