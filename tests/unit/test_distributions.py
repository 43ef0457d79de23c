"""Per-image measures summed up."""

from __future__ import annotations

import pytest
import torch

from core.distributions import BINS, histogram, spread


def test_spread_gives_mean_and_percentiles() -> None:
    assert spread(torch.arange(101.0)) == pytest.approx({"mean": 50, "p5": 5, "p50": 50, "p95": 95})


def test_histogram_counts_every_value_once() -> None:
    found = histogram(torch.tensor([0.0, 0.1, 1.0, 4.0, 4.0]))
    assert len(found["counts"]) == BINS
    assert len(found["edges"]) == BINS + 1
    assert (found["edges"][0], found["edges"][-1]) == (0.0, 4.0)
    assert found["counts"][0] == 1
    assert found["counts"][1] == 1
    assert found["counts"][-1] == 2
    assert sum(found["counts"]) == 5


def test_a_histogram_of_zeros_has_a_width() -> None:
    found = histogram(torch.zeros(3))
    assert found["edges"][-1] == 1.0
    assert found["counts"][0] == 3
