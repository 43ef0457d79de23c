"""The worker's side of the nursery: start it, keep it running, ask it for children."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from worker import processes
from worker.pipe import Pipe

SECRETS = frozenset(
    {
        *("DATABASE_URL", "REDIS_URL", "SIEVE_DATABASE_URL", "SIEVE_REDIS_URL", "SIEVE_SECRETS_DIR"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    }
)
"""Of the worker's environment, what its children must not see."""

_ONE_THREAD = {
    **{"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""While the nursery imports; a child sets its own number of threads. (pandas brings in pyarrow, whose allocator would
start one.)"""

_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""glibc keeps freed memory for the process. A step of an attack frees all that the next one needs: given back and
fetched again page by page, that takes a fifth of the time of wide networks (docs/performance.md)."""

_SPAWN_SECONDS = 10.0
_END_SECONDS = 5.0
_log = logging.getLogger(__name__)


class NurseryGone(Exception):
    """The nursery ended before it could give a child."""


class Child:
    """A process that does one attempt."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.pid = 0
        self.spawned = threading.Event()
        self.ended = threading.Event()
        self.status: int | None = None
        """Exit code, or minus the signal that ended it; None while it runs, or where its nursery died with it."""

    def signal(self, number: signal.Signals) -> None:
        """Signal the child and its whole group, unless it has ended."""
        if self.pid and not self.ended.is_set():
            processes.kill_group(self.pid, number)

    def end(self) -> None:
        """Kill it if it still runs, and wait until it is gone: only then is its memory free, on a GPU too."""
        self.signal(signal.SIGKILL)
        self.ended.wait(_END_SECONDS)
        self.pipe.close()


class Nursery:
    """Keeps one nursery process running. `spawn` may be called from several threads."""

    def __init__(self) -> None:
        self.gpus = 0
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._closing = False
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._asked: dict[int, Child] = {}
        self._running: dict[int, Child] = {}
        self._on_ready: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._keep, name="nursery", daemon=True)

    def start(self, on_ready: Callable[[], None]) -> None:
        """Start it and return at once; `on_ready` is called whenever it has become ready."""
        self._on_ready = on_ready
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Can it give a child at once?"""
        return self._ready.is_set()

    def spawn(self) -> Child:
        """A new child, which waits for its first message.

        Raises:
            NurseryGone: the nursery died, or did not answer and was killed.
        """
        ours, theirs = socket.socketpair()
        child = Child(Pipe(ours))
        with self._lock:
            if not self._ready.is_set() or self._socket is None:
                raise NurseryGone
            number = next(self._numbers)
            self._asked[number] = child
            try:
                socket.send_fds(self._socket, [json.dumps({"spawn": number}).encode()], [theirs.fileno()])
            except OSError as error:
                del self._asked[number]
                raise NurseryGone from error
            finally:
                theirs.close()
        if not child.spawned.wait(_SPAWN_SECONDS):
            _log.error("the nursery does not answer: killing it")
            self._kill()
            child.ended.wait()
        if not child.pid:
            raise NurseryGone
        return child

    def close(self) -> None:
        """End it, and with it every child. Returns when all are gone."""
        self._closing = True
        with self._lock:
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._kill()

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def _keep(self) -> None:
        """Start the nursery, listen to it, and start it again when it dies."""
        pause = 0.0
        while not self._closing:
            time.sleep(pause)
            began = time.monotonic()
            try:
                listening = self._launch()
                try:
                    while self._hear(listening):
                        pass
                finally:
                    self._bury()
            except Exception:  # none may end this thread: without a nursery a worker takes no job
                _log.exception("nursery")
            if not self._closing:
                pause = 0.0 if time.monotonic() - began > 60 else min(2 * pause + 0.5, 30)
                _log.error("the nursery died; starting it again")

    def _launch(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "worker.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={key: value for key, value in os.environ.items() if key not in SECRETS}
                | _ONE_THREAD
                | _KEEP_MEMORY,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        with self._lock:
            self._socket, self._process = ours, process
        return ours

    def _hear(self, listening: socket.socket) -> bool:
        """One message of the nursery. False when it is gone."""
        try:
            data = listening.recv(4096)
        except OSError:
            data = b""
        if not data:
            return False
        message = json.loads(data)
        if "ready" in message:
            if message["threads"] != 1:
                _log.warning("the nursery has %d threads: a fork may hang", message["threads"])
            self.gpus = message["gpus"]
            self._ready.set()
            self._on_ready()
        elif "spawned" in message:
            child = self._asked.pop(message["spawned"])
            child.pid = message["pid"]
            self._running[child.pid] = child
            child.spawned.set()
        else:
            child = self._running.pop(message["exited"])
            child.status = message["status"]
            child.ended.set()
        return True

    def _bury(self) -> None:
        """The nursery is gone, and its children with it: make sure, and tell those who wait."""
        assert self._process is not None
        assert self._socket is not None
        has_children = self._ready.is_set()
        self._ready.clear()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5 if self._closing and has_children else 0)  # told to end, it kills them first
        self._process.kill()
        self._process.wait()
        processes.kill_descendants()  # orphans come to us: the worker is a subreaper too
        with self._lock:
            self._socket.close()
            self._socket = None
            lost = [*self._asked.values(), *self._running.values()]
            self._asked.clear()
            self._running.clear()
        for child in lost:
            child.ended.set()
            child.spawned.set()
