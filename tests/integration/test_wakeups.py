"""The bell: heard at once; silent, and quick, while Redis is away; heard again when it is back."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from local.redis import Redis
from store.wakeups import Bell
from worker.bell import Listener

SPAWN = get_context("spawn")


def listen(url: str, name: str, heard: Event) -> None:
    """What a worker does with the bell; in a process of its own, as Celery keeps one event loop a process."""
    Listener(url, name, heard.set).start()
    threading.Event().wait()


def stumbling(url: str, name: str, heard: Event) -> None:
    """One whose Redis client raises, once, what Celery does not know. Celery gives up then."""
    from redis._parsers.socket import SocketBuffer

    read = SocketBuffer.readline
    stumbled = threading.Event()

    def readline(self: SocketBuffer, *args: object, **named: object) -> bytes:
        if threading.current_thread().name == "listener" and not stumbled.is_set():
            stumbled.set()
            raise ValueError("I/O operation on closed file.")
        return read(self, *args, **named)

    def ring() -> None:
        if stumbled.is_set():
            heard.set()

    SocketBuffer.readline = readline
    Listener(url, name, ring).start()
    threading.Event().wait()


@contextlib.contextmanager
def listening(url: str, listen: Callable[[str, str, Event], None] = listen) -> Iterator[list[Event]]:
    """Two workers that listen."""
    heard = [SPAWN.Event() for _ in range(2)]
    workers = [
        SPAWN.Process(target=listen, args=(url, f"wrk_{index}", event), daemon=True)
        for index, event in enumerate(heard)
    ]
    for worker in workers:
        worker.start()
    try:
        yield heard
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def rings(bell: Bell, heard: list[Event], seconds: float) -> bool:
    """Is it heard by all within that time?"""
    until = time.monotonic() + seconds
    while not all(event.is_set() for event in heard):
        if time.monotonic() > until:
            return False
        bell.ring()
        time.sleep(0.1)
    for event in heard:
        event.clear()
    return True


def test_it_is_heard_before_and_after_redis_was_away(tmp_path: Path) -> None:
    server = Redis(log=tmp_path / "redis.log")
    server.start()
    bell = Bell(server.url)
    try:
        with listening(server.url) as heard:
            assert rings(bell, heard, 60)
            assert server.process is not None
            server.process.kill()
            server.process.wait()
            began = time.monotonic()
            assert not bell.ring()
            assert not bell.ring()
            assert time.monotonic() - began < 4, "Celery's own patience with one"
            server.start()
            assert rings(bell, heard, 60)
    finally:
        server.stop()


def test_a_consumer_that_ended_is_started_again(tmp_path: Path) -> None:
    server = Redis(log=tmp_path / "redis.log")
    server.start()
    try:
        with listening(server.url, stumbling) as heard:
            assert rings(Bell(server.url), heard, 60)
    finally:
        server.stop()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "10.255.255.1:6379", "no.such.host.invalid:6379"])
def test_a_redis_that_is_not_there_costs_little(address: str) -> None:
    bell = Bell(f"redis://{address}/0")
    began = time.monotonic()
    assert not any(bell.ring() for _ in range(20))
    assert time.monotonic() - began < 6, "one is tried, the others are not"
