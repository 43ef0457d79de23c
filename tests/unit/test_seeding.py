"""Randomness is a function of what a draw is for."""

from __future__ import annotations

import pytest
import torch

from core.seeding import derived_seed, generator


def test_seeds_never_change() -> None:
    """Another value here is another result of every job that was ever run."""
    assert derived_seed(0, "weights") == 5087778715007104936
    assert derived_seed(7, "start", 3, 256) == 1616763179376496072


def test_every_argument_counts() -> None:
    calls = [(0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (0, "a", 0, 0), (0, "a", 1, 2), (0, "a", 12)]
    seeds = {derived_seed(seed, purpose, *indices) for seed, purpose, *indices in calls}
    assert len(seeds) == len(calls)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_generators_repeat_and_leave_the_global_one_alone(seed: int) -> None:
    before = torch.get_rng_state()
    first = torch.rand(4, generator=generator(seed, "noise", 5))
    second = torch.rand(4, generator=generator(seed, "noise", 5))
    other = torch.rand(4, generator=generator(seed, "noise", 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())
