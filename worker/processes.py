"""What Linux offers to leave no process behind: subreapers, parent-death signals, lists of descendants."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Collection
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36  # both from linux/prctl.h

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """From now on orphans among our descendants become our children, not init's."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Be killed when `parent` ends (the thread of it that forked us); at once if it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def stay() -> None:
    """Take `die_with` back."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def kill_descendants() -> None:
    """Kill and reap every descendant of this process, which is a subreaper and forks no more meanwhile."""
    while True:
        kill_children(frozenset())
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def kill_children(spared: Collection[int]) -> None:
    """Kill every child of this process but some. They are still to be reaped."""
    for pid in _children(os.getpid()):
        if pid not in spared:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descends(pid: int, ancestor: int) -> bool:
    """Is a process below another one? False where it is gone, or cannot be seen from here."""
    while pid > 1 and pid != ancestor:
        pid = _parent(pid)
    return pid == ancestor


def kill_group(group: int, number: signal.Signals) -> None:
    """Signal every process of a group, if there is one left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def threads() -> int:
    """How many threads this process has."""
    return len(list(Path("/proc/self/task").iterdir()))


def _children(parent: int) -> list[int]:
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if _parent(pid) == parent]


def _parent(pid: int) -> int:
    """0 where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    # The name, in parentheses, may hold anything; state and parent follow the last one.
    return int(stat.rpartition(")")[2].split()[1])


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
