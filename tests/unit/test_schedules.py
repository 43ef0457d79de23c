"""Learning rates over a training."""

from __future__ import annotations

import pytest

from core.schedules import relative_rates
from sieve.specs import Constant, OneCycle, StepDecay


def test_one_cycle_rises_to_the_peak_and_falls_to_nothing() -> None:
    rates = relative_rates(OneCycle(warmup=0.25), 100)
    peak = rates.index(max(rates))
    assert peak in (24, 25)
    assert max(rates) == pytest.approx(1, abs=0.02)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[0] < 0.03
    assert 0 < rates[-1] < 0.01


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_one_cycle_may_only_fall_or_only_rise(warmup: float) -> None:
    rates = relative_rates(OneCycle(warmup=warmup), 10)
    assert rates == sorted(rates, reverse=warmup == 0)
    assert all(0 < rate <= 1 for rate in rates)


def test_step_decay_falls_at_its_milestones() -> None:
    rates = relative_rates(StepDecay(milestones=(0.5, 0.75), factor=0.1), 8)
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_constant_stays() -> None:
    assert relative_rates(Constant(), 3) == [1, 1, 1]
