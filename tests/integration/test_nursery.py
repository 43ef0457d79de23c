"""A worker's nursery is started again whatever ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.working import eventually
from worker import processes
from worker.children import Nursery


@pytest.fixture
def nursery(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nursery]:
    monkeypatch.setattr(processes, "kill_descendants", lambda: None)  # PostgreSQL may be one of this process's
    nursery = Nursery()
    yield nursery
    nursery.close()


def test_it_imports_nothing_slow_before_it_is_bound_to_its_worker() -> None:
    slow = "import sys, worker.nursery; print([name for name in ('torch', 'numpy', 'pydantic') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", slow], check=True, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.full
def test_an_error_of_whoever_waits_for_it_does_not_end_the_listener(nursery: Nursery) -> None:
    times = []

    def stumble_once() -> None:
        times.append(len(times))
        if len(times) == 1:
            raise RuntimeError("at its first time")

    nursery.start(stumble_once)
    eventually(lambda: len(times) == 2 and nursery.ready, seconds=120)
    child = nursery.spawn()
    assert child.pid


@pytest.mark.full
def test_a_child_can_be_killed_as_soon_as_there_is_one(nursery: Nursery) -> None:
    nursery.start(lambda: None)
    eventually(lambda: nursery.ready, seconds=120)
    children = []
    for _ in range(100):
        children.append(nursery.spawn())
        children[-1].end()
    assert [child.status for child in children] == [-signal.SIGKILL] * 100
