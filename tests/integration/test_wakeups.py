"""The bell: heard at once; silent, and quick, while Redis is away; heard again when it is back."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from local.redis import Redis
from store.wakeups import Bell
from worker.bell import Listener


def test_it_is_heard_before_and_after_redis_was_away(tmp_path: Path) -> None:
    server = Redis(log=tmp_path / "redis.log")
    server.start()
    heard, other = threading.Event(), threading.Event()
    url = server.url
    for name, event in (("wrk_1", heard), ("wrk_2", other)):
        Listener(url, name, event.set).start()
    bell = Bell(url)

    def rings(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not (heard.is_set() and other.is_set()):
            if time.monotonic() > until:
                return False
            bell.ring()
            time.sleep(0.1)
        heard.clear()
        other.clear()
        return True

    try:
        assert rings(20)
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        began = time.monotonic()
        assert not bell.ring()
        assert not bell.ring()
        assert time.monotonic() - began < 1
        server.start()
        assert rings(30)
    finally:
        server.stop()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "10.255.255.1:6379", "no.such.host.invalid:6379"])
def test_a_redis_that_is_not_there_costs_little(address: str) -> None:
    bell = Bell(f"redis://{address}/0")
    began = time.monotonic()
    assert not any(bell.ring() for _ in range(20))
    assert time.monotonic() - began < 1.5
