"""Flips and crops."""

from __future__ import annotations

import torch
from torch.nn import functional

from core.augmentation import Augmentation
from core.seeding import generator

X = torch.rand(64, 3, 8, 10, generator=generator(0, "images"))


def test_each_image_is_one_of_its_own_flips() -> None:
    made = Augmentation(flip=True, crop_padding=0)(X, generator(0, "draws"))
    as_is = [torch.equal(made[at], X[at]) for at in range(64)]
    mirrored = [torch.equal(made[at], X[at].flip(-1)) for at in range(64)]
    assert all(a != b for a, b in zip(as_is, mirrored, strict=True))
    assert 16 < sum(mirrored) < 48


def test_each_image_is_one_of_its_own_crops() -> None:
    made = Augmentation(flip=False, crop_padding=2)(X, generator(0, "draws"))
    padded = functional.pad(X, (2, 2, 2, 2), mode="reflect")
    places = set()
    for at in range(64):
        found = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(made[at], padded[at, :, top : top + 8, left : left + 10])
        ]
        assert found
        places.add(found[0])
    assert len(places) > 15, "of 25"


def test_without_augmentation_nothing_is_drawn() -> None:
    draws = generator(0, "draws")
    assert Augmentation(flip=False, crop_padding=0)(X, draws) is X
    assert torch.equal(draws.get_state(), generator(0, "draws").get_state())
