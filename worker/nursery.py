"""The nursery: a warm process that children are forked from. `python -m worker.nursery FD`, started by a worker.

It has imported torch and all of `core`, and has run no operation and started no thread, so that a fork of it is ready
at once and whole. It reaps its children and every orphan below them, and when its socket to the worker closes, it
kills all that descends from it and ends. It knows no database and no Redis.

Nothing that takes time is imported before `main` has seen to it that it dies with a worker that is killed meanwhile.
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
import sys
import traceback

from worker import processes
from worker.pipe import Pipe

WARM = ("worker.attempt", "numpy", "PIL.Image", "safetensors.torch", "sklearn.datasets", "torchvision")
"""What first jobs would import, beside `core`."""


def main(descriptor: int) -> None:
    """Warm up, say `ready`, then fork a child for each request until the worker is gone."""
    worker = socket.socket(fileno=descriptor)
    processes.die_with(os.getppid())  # while it imports, it does not listen
    if select.select([worker], [], [], 0)[0]:
        return  # the worker was gone before
    processes.become_subreaper()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the worker decides; it may be waiting for children to end well
    _warm_up()
    children: set[int] = set()
    wakened, waker = os.pipe()
    os.set_blocking(waker, False)
    os.set_blocking(wakened, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    gpus = _count_gpus()
    processes.stay()  # from here on it notices by itself, and takes everybody with it
    _say(worker, {"ready": True, "gpus": gpus, "threads": processes.threads()})
    while True:
        readable, _, _ = select.select([worker.fileno(), wakened], [], [])
        if wakened in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wakened, 4096)
            _reap(worker, children)
        if worker.fileno() in readable and not _serve(worker, children):
            break
    processes.kill_descendants()


def _warm_up() -> None:
    from core.cards import ARCHITECTURES, ATTACKS, DATASETS, KINDS  # noqa: PLC0415
    from worker import fingerprint  # noqa: PLC0415

    for name in WARM:
        importlib.import_module(name)
    for registry in (DATASETS, ARCHITECTURES, ATTACKS):
        registry.names()
    for kind in KINDS.cards():
        if kind.build is not None:
            try:
                kind.build()
            except Exception:  # somebody's kind that cannot be imported: its own jobs will say so, and others run
                traceback.print_exc()
    fingerprint.software()  # now: the code on the disk may be another's by the time that a job ends
    gc.collect()
    gc.freeze()  # what is here lives as long as we do: children need not copy its pages to look at it


def _serve(worker: socket.socket, children: set[int]) -> bool:
    """One request: {"spawn": number} with the child's socket. False when the worker is gone."""
    try:
        data, descriptors, _, _ = socket.recv_fds(worker, 4096, 1)
    except ConnectionResetError:
        return False
    if not data:
        return False
    pid = _fork(worker, descriptors[0])
    os.close(descriptors[0])
    children.add(pid)
    _say(worker, {"spawned": json.loads(data)["spawn"], "pid": pid})
    return True


def _fork(worker: socket.socket, descriptor: int) -> int:
    nursery = os.getpid()
    pid = os.fork()
    if pid:
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.setpgid(pid, pid)  # as it does itself: whoever is told of it can kill its group at once
        return pid
    try:
        processes.die_with(nursery)
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        worker.close()
        from worker import attempt  # noqa: PLC0415 - it is there, see `WARM`

        attempt.main(Pipe(socket.socket(fileno=descriptor)))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _reap(worker: socket.socket, children: set[int]) -> None:
    """Report children that ended, and kill what they left behind: their group, and orphans that came to us."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        pid = ended.si_pid
        if pid in children:
            processes.kill_group(pid, signal.SIGKILL)  # before it is reaped: until then its number is nobody else's
        _, status = os.waitpid(pid, 0)
        if pid in children:
            children.discard(pid)
            processes.kill_children(children)
            _say(worker, {"exited": pid, "status": os.waitstatus_to_exitcode(status)})


def _count_gpus() -> int:
    """Counted in a child: to ask may start CUDA, which does not survive a fork."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            import torch  # noqa: PLC0415

            os.write(writing, str(torch.cuda.device_count()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        return int(answer.read() or 0)


def _say(worker: socket.socket, message: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # a worker that is gone is noticed where we listen to it
        worker.send(json.dumps(message).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
