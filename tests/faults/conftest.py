"""The service, and a client whose pauses are short and who finds a stalled answer out soon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sieve import Client, job, patience, sending
from tests.acceptance.conftest import address, client, hand, key, settings
from tests.faults.proxy import Faulty, Plan, faulty

__all__ = ["address", "client", "hand", "key", "settings"]

Through = Callable[..., tuple[Client, Faulty]]


@pytest.fixture
def through(address: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Through]:
    """A client that speaks to the service through a proxy."""
    monkeypatch.setattr(patience, "_pause", lambda _: 0.01)
    monkeypatch.setattr(job, "LONGEST_POLL", 1.0)
    monkeypatch.setattr(job, "LATE", 4.0)
    monkeypatch.setattr(job, "SILENCE", 2.0)
    monkeypatch.setattr(sending, "PIECE", 16 << 10)
    monkeypatch.setenv("SIEVE_CACHE", str(tmp_path / "cache"))
    with ExitStack() as stack:

        def open_(plan: Plan, timeout: float = 5.0) -> tuple[Client, Faulty]:
            proxy = stack.enter_context(faulty(address, plan))
            return stack.enter_context(Client(proxy.url, key, timeout=timeout)), proxy

        yield open_
