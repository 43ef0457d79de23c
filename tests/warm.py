"""Workers that are ready at once: forked from a process that has imported already what they would.

A worker that is started by `python -m worker` imports for seconds, and its nursery for longer, on every start. Here one
process imports both, runs nothing and starts no thread; a worker is a fork of it, and that worker's nursery a fork of
the worker. From then on they are what they always are: processes of their own, that can be killed, with the files and
the environment that they were given. What is tried of starting itself, `python -m worker` has to show.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, NoReturn

from worker import processes
from worker.children import _KEEP_MEMORY, _ONE_THREAD

_STATUS = struct.Struct("i")
_lock = threading.Lock()
_launcher: tuple[int, socket.socket] | None = None
"""The process that started it, and the way to it."""


class Worker(subprocess.Popen[bytes]):
    """A process that somebody else has forked, and whose end it tells."""

    def __init__(self, pid: int, ending: int) -> None:
        self.pid, self._ending = pid, ending
        self.args: Any = ["worker"]
        self.returncode: int | None = None  # type: ignore[assignment]
        self.stdin = self.stdout = self.stderr = None
        self._child_created = False  # not ours to reap

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._look(timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def _look(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._ending], [], [], seconds)[0]:
            told = os.read(self._ending, _STATUS.size)
            self.returncode = _STATUS.unpack(told)[0] if told else -signal.SIGKILL
            os.close(self._ending)
        return self.returncode


def start(environment: dict[str, str], log: IO[bytes], patches: Iterable[str] = ()) -> Worker:
    """Start a worker with this environment (nothing is added), which logs there. `patches`: see `drills.entry`."""
    ended, ending = os.pipe()
    request = {"environment": environment, "patches": list(patches)}
    with _lock:
        launcher = _started()
        socket.send_fds(launcher, [json.dumps(request).encode()], [log.fileno(), ending])
        os.close(ending)
        pid = json.loads(launcher.recv(64))
    return Worker(pid, ended)


def _started() -> socket.socket:
    """The launcher's socket. It ends when we do, and all that it has started with it."""
    global _launcher  # noqa: PLW0603 - one for the whole process
    if _launcher is None or _launcher[0] != os.getpid():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=Path(__file__).parent.parent,
                env=os.environ | _ONE_THREAD | _KEEP_MEMORY,
            )
        _launcher = os.getpid(), ours
    return _launcher[1]


def main(descriptor: int) -> None:
    """Import, then fork a worker for each request until whoever asks is gone."""
    asking = socket.socket(fileno=descriptor)
    _import_everything()
    wakened, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    endings: dict[int, int] = {}
    with contextlib.suppress(BrokenPipeError):  # whoever asks is gone
        while _serve(asking, wakened, endings):
            pass
    for pid in endings:
        os.kill(pid, signal.SIGKILL)


def _serve(asking: socket.socket, wakened: int, endings: dict[int, int]) -> bool:
    """Bury the dead, or start another. False once nobody asks any more."""
    readable, _, _ = select.select([asking, wakened], [], [])
    if wakened in readable:
        os.read(wakened, 4096)
        _reap(endings)
    if asking not in readable:
        return True
    if not asking.recv(1, socket.MSG_PEEK):
        return False
    data, (log, ending), _, _ = socket.recv_fds(asking, 1 << 20, 2)
    launcher = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become_worker(json.loads(data), log, launcher)
    os.close(log)
    endings[pid] = ending
    asking.send(json.dumps(pid).encode())
    return True


def _import_everything() -> None:
    from core.cards import ARCHITECTURES, ATTACKS, DATASETS, KINDS
    from worker import nursery

    importlib.import_module("worker.__main__")
    nursery._warm_up()
    for registry in (KINDS, DATASETS, ARCHITECTURES, ATTACKS):
        registry.__dict__.pop("_entries", None)  # others' entries are found by whoever looks, in a path of their own
    gc.freeze()


def _reap(endings: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while endings:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            ending = endings.pop(pid)
            with contextlib.suppress(BrokenPipeError):
                os.write(ending, _STATUS.pack(os.waitstatus_to_exitcode(status)))
            os.close(ending)


def _become_worker(request: dict[str, Any], log: int, launcher: int) -> NoReturn:
    def work() -> None:
        from tests.drills.entry import apply
        from worker import __main__, children

        def popen(command: list[str], *, pass_fds: Collection[int], env: dict[str, str], **_: Any) -> Any:
            """Instead of a new interpreter, for the nursery."""
            return _fork_nursery(int(command[-1]), pass_fds, env, request["patches"])

        children.subprocess = SimpleNamespace(  # type: ignore[assignment]
            **{name: getattr(subprocess, name) for name in subprocess.__all__} | {"Popen": popen}
        )
        apply("worker", request["patches"])
        __main__.main()

    processes.die_with(launcher)
    os.dup2(log, 1)
    os.dup2(log, 2)
    _begin(work, request["environment"], keep=())


def _fork_nursery(descriptor: int, keep: Collection[int], environment: dict[str, str], patches: list[str]) -> Any:
    pid = os.fork()
    if pid == 0:

        def nurse() -> None:
            from tests.drills.entry import apply
            from worker import nursery

            apply("worker.nursery", patches)
            nursery.main(descriptor)

        os.setsid()
        _begin(nurse, environment, keep=keep)
    return _Child(pid)


class _Child(subprocess.Popen[bytes]):
    """A process that we have forked ourselves."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.args: Any = ["worker.nursery"]
        self.returncode: int | None = None  # type: ignore[assignment]
        self.stdin = self.stdout = self.stderr = None
        self._child_created = True
        self._waitpid_lock = threading.Lock()


def _begin(act: Callable[[], None], environment: dict[str, str], *, keep: Collection[int]) -> NoReturn:
    """In a fork: be what a new process would be, do this, and end."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) not in (nothing, *keep):
                with contextlib.suppress(OSError):  # an object that thinks it has this number may close it: so be it
                    os.dup2(nothing, int(name), inheritable=False)
        os.dup2(nothing, 0)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:0] = [one for one in environment.get("PYTHONPATH", "").split(":") if one not in sys.path]
        importlib.invalidate_caches()
        act()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
