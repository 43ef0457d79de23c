"""The alarm for catastrophic overfitting, and for trainings that learn nothing."""

from __future__ import annotations

import torch

from core.overfitting import chance, collapse, stuck_at_chance, watching
from core.training_state import Epoch
from sieve.specs import PGD


def history(*pairs: tuple[float, float]) -> list[Epoch]:
    """(under many steps, under few) after each epoch."""
    return [Epoch(at, 1.0, 0.9, robust=many, few_steps=few) for at, (many, few) in enumerate(pairs, 1)]


def test_a_collapse_is_robustness_lost_while_few_steps_show_none_of_it() -> None:
    found = collapse(history((0.3, 0.4), (0.5, 0.6), (0.1, 0.8), (0.4, 0.5)), 0.1)
    assert found is not None
    assert (found.epoch, found.best_epoch, found.best_many_steps, found.few_steps) == (3, 2, 0.5, 0.8)
    assert "after epoch 3" in found.sentence()
    assert "10.0%" in found.sentence()


def test_a_training_can_be_overfitted_from_the_start() -> None:
    found = collapse(history((0.0, 0.1), (0.01, 0.4), (0.0, 0.8)), 0.1)
    assert found is not None
    assert (found.epoch, found.best_epoch, found.best_many_steps) == (2, 0, 0.1)


def test_what_is_no_collapse() -> None:
    assert collapse(history((0.3, 0.4), (0.5, 0.6), (0.3, 0.7)), 0.1) is None, "half of it is still there"
    assert collapse(history((0.5, 0.6), (0.1, 0.2)), 0.1) is None, "few steps fell as well: a bad epoch"
    assert collapse(history((0.11, 0.1), (0.0, 0.15)), 0.1) is None, "by chance robust, as a constant answer is"
    assert collapse([Epoch(1, 1.0, 0.9, robust=0.8), Epoch(2, 1.0, 0.9, robust=0.1)], 0.1) is None, "nobody watched"
    assert collapse([Epoch(1, 1.0, None, None)], 0.0) is None


def test_few_steps_are_watched_by_many_in_the_same_ball() -> None:
    fast = PGD(norm="linf", epsilon=0.1, steps=1, relative_step=1.25, random_start=True)
    watch = watching(fast)
    assert watch is not None
    assert (watch.norm, watch.epsilon, watch.random_start) == ("linf", 0.1, True)
    assert watch.steps * watch.relative_step > 2
    assert watching(PGD(steps=7)) is None
    assert watching(None) is None


def test_stuck_at_chance_is_judged_by_an_interval() -> None:
    labels = torch.arange(200) % 10
    assert chance(labels) == 0.1
    assert stuck_at_chance(0.12, labels) is True
    assert stuck_at_chance(0.2, labels) is False
    assert stuck_at_chance(0.75, torch.tensor([0] * 150 + [1] * 50)) is True, "always the commonest class"
    assert stuck_at_chance(None, labels[:0]) is None
