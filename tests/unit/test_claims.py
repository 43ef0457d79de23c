"""Claims: what decides them, and what is said."""

from __future__ import annotations

import math

import pytest

from core.claims import Claim, Control, Rule, above, below, not_above
from core.measure import computed, correlation, difference, rate
from core.statistics import wilson_interval

CHANCE = 10.0


def of(*values: float, images: int = 360) -> list[list[float]]:
    return [[value] for value in values]


def test_one_seed_has_the_interval_of_its_images_and_several_that_of_their_mean() -> None:
    one = rate("x", of(0.25), 400)
    low, high = wilson_interval(0.25, 400)
    assert (one.kind, one.low, one.high, one.spread) == ("wilson", 100 * low, 100 * high, None)
    three = rate("x", of(0.2, 0.25, 0.3), 400)
    assert three.kind == "student_t"
    assert three.mean == pytest.approx(25)
    assert three.spread == pytest.approx(5)
    assert three.high - three.mean == pytest.approx(4.3027 * 5 / math.sqrt(3))


def test_trainings_of_one_source_are_counted_and_averaged() -> None:
    found = rate("x", [[0.2, 0.4], [0.3, 0.5]], 400)
    assert (found.n_seeds_source, found.n_seeds_training) == (2, 2)
    assert found.mean == pytest.approx(35)
    assert found.spread == pytest.approx(100 * (0.4 - 0.3) / math.sqrt(2))
    assert rate("x", [[0.2, 0.4]], 400).spread == pytest.approx(100 * 0.2 / math.sqrt(2))
    assert rate("x", of(0.2), 400, trained=False).n_seeds_training is None


def test_equal_seeds_do_not_make_a_finite_test_set_exact() -> None:
    found = rate("x", of(0.1, 0.1, 0.1), 360)
    assert found.low < 10 < found.high
    nothing = rate("x", of(0.0, 0.0, 0.0), 360)
    assert nothing.low == 0
    assert nothing.high > 0.5


def test_differences_are_taken_seed_by_seed() -> None:
    first, second = rate("a", of(0.5, 0.6, 0.9), 360), rate("b", of(0.4, 0.5, 0.8), 360)
    apart = difference("a - b", first, second)
    assert apart.mean == pytest.approx(10)
    assert apart.low == pytest.approx(10), "each seed says 10, however much the seeds differ"
    alone = difference("a - b", rate("a", of(0.56), 100), rate("b", of(0.48), 100))
    assert (alone.low, alone.high) == (pytest.approx(-5.8, abs=0.1), pytest.approx(21.3, abs=0.1)), (
        "Newcombe's method 10"
    )


def test_a_correlation_has_fishers_interval() -> None:
    found = correlation("r", [1, 2, 3, 4, 5], [1, 3, 2, 5, 4])
    assert found.mean == pytest.approx(0.8)
    assert found.low == pytest.approx(math.tanh(math.atanh(0.8) - 1.95996 / math.sqrt(2)), abs=1e-4)
    assert correlation("r", [1, 2, 3, 4], [7, 7, 7, 7]).low == -1, "no spread says nothing"
    assert correlation("r", [1, 2, 3], [1, 2, 3]).low == -1, "three points say nothing"


@pytest.mark.parametrize(
    ("values", "held", "decided"),
    [((0.3, 0.32, 0.31), True, True), ((0.1, 0.3, 0.2), False, False), ((0.02, 0.021, 0.02), False, True)],
)
def test_above_wants_the_whole_interval(values: tuple[float, ...], held: bool, decided: bool) -> None:
    measure = rate("accuracy", of(*values), 360)
    control = Control("labels permuted", rate("accuracy", of(0.1, 0.1, 0.1), 360))
    claim = Claim("c", "Something is learnt", above(CHANCE, "chance"), measure, control).json_values()
    assert (claim["held"], claim["decided"]) == (held, decided)
    assert claim["said"].startswith("It held here:" if held else "It did not hold here:")
    assert claim["control"]["held"] is False
    assert claim["control"]["said"].startswith("It did not hold on the control:")
    assert ("does not decide" in claim["said"]) is (not decided)


@pytest.mark.parametrize("rule", [above(CHANCE, "chance"), below(CHANCE, "chance"), not_above(CHANCE, "chance")])
def test_one_seed_decides_nothing(rule: Rule) -> None:
    """However far from chance: its interval speaks of other test images, not of other models."""
    for value in (0.0, 0.9):
        measure = rate("accuracy", of(value), 10_000)
        claim = Claim("c", "Something is learnt", rule, measure, Control("permuted", measure))
        told = claim.json_values()
        assert (claim.held, claim.control_held, told["decided"]) == (False, False, False)
        assert told["said"].startswith("It is not decided here: accuracy is")
        assert told["control"]["said"].startswith("It is not decided on the control:")
    exact = Claim(
        "c", "Something is computed", above(0, "nothing"), computed("x", 1), Control("none", computed("x", 0))
    )
    assert exact.held


def test_rules_below_and_not_above() -> None:
    low, high = rate("x", of(0.02), 360), rate("x", of(0.4), 360)
    assert below(CHANCE, "chance").holds(low)
    assert not below(CHANCE, "chance").holds(high)
    assert not_above(CHANCE, "chance").holds(low)
    assert not not_above(CHANCE, "chance").holds(high)
    assert below(1e-4, "of the norm").holds(computed("error", 1e-8))
    assert not below(1e-4, "of the norm").holds(computed("error", 0.09))


def test_small_numbers_stay_numbers_in_json() -> None:
    assert computed("error", 1.2372e-8).json_values()["mean"] == 1.2372e-8
    assert computed("error", math.inf).json_values()["mean"] is None
