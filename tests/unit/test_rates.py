"""Requests are counted by who makes them."""

from __future__ import annotations

import pytest

from api import limits
from api.limits import Rates
from api.problems import Problem


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(limits, "time", made)
    return made


def test_a_burst_is_let_through_then_a_steady_rate(clock: Clock) -> None:
    rates = Rates(2)
    for _ in range(int(2 * limits.BURST_SECONDS)):
        rates.take("ada")
    with pytest.raises(Problem) as refused:
        rates.take("ada")
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
    rates.take("bob")
    clock.now += 0.5
    rates.take("ada")
    with pytest.raises(Problem):
        rates.take("ada")


def test_none_is_no_limit_and_the_memory_is_bounded(clock: Clock) -> None:
    free = Rates(0)
    for _ in range(1000):
        free.take("ada")
    rates = Rates(1)
    rates.KEPT = 10
    for number in range(100):
        rates.take(f"user {number}")
    assert len(rates._buckets) == 10
