"""Intervals, against scipy's."""

from __future__ import annotations

import pytest
from scipy import stats

from core.statistics import estimate, t95, wilson_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 360), (1, 360), (63, 360), (360, 360), (5, 10), (9876, 10_000)])
def test_wilson_interval(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes / n, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_student_t_quantiles() -> None:
    freedoms = range(1, 100)
    expected = [float(stats.t.ppf(0.975, freedom)) for freedom in freedoms]
    assert [t95(freedom) for freedom in freedoms] == pytest.approx(expected, abs=1e-3)


def test_one_seed_has_the_uncertainty_of_its_test_set_and_no_spread() -> None:
    one = estimate([0.5], 100)
    assert (one.kind, one.spread, one.per_seed) == ("wilson", None, (0.5,))
    assert (one.low, one.high) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_several_seeds_have_the_uncertainty_of_their_mean() -> None:
    several = estimate([0.5, 0.6, 0.7], 100)
    expected = stats.t.interval(0.95, 2, loc=0.6, scale=0.1 / 3**0.5)
    assert several.kind == "student_t"
    assert (several.mean, several.spread) == pytest.approx((0.6, 0.1))
    assert (several.low, several.high) == pytest.approx(expected, abs=1e-4)


def test_intervals_stay_in_range() -> None:
    several = estimate([0.0, 0.02], 100)
    assert (several.low, several.mean) == pytest.approx((0.0, 0.01))
    assert estimate([1.0], 5).high == 1.0
