"""Projected gradient descent (Madry et al. 2018): try 0 starts at the image, the others uniformly in the ball."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from core.cards import AttackEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.attack import Attack


class PGDOptions(Spec):
    """How hard to search."""

    loss: Literal["cross_entropy", "margin"] = "cross_entropy"
    """What to climb. The margin to a rival class still has a gradient where the cross-entropy's vanishes; tries after
    the first each aim at another rival."""
    steps: int = Field(default=50, ge=1, le=10_000)
    """Gradient steps a try."""
    restarts: int = Field(default=5, ge=1, le=1000)
    """Tries; the worst of each image counts."""
    relative_step: float = Field(default=0.1, gt=0, le=10)
    """Length of one step as a fraction of epsilon."""


def build(options: PGDOptions) -> Attack:
    """The attack."""
    from core.pgd import PGDAttack

    return PGDAttack(**options.model_dump())


ENTRY = AttackEntry(
    name="pgd",
    summary="projected gradient descent on the cross-entropy or on the margin",
    options=PGDOptions,
    norms=frozenset({"l1", "l2", "linf"}),
    build=build,
    gradients=lambda options: (options.restarts, options.steps),
)
