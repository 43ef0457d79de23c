"""Auto-PGD (Croce and Hein 2020): steps that choose their own length. Within l1 as Croce and Hein (2021) have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from core.cards import AttackEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.attack import Attack


class APGDOptions(Spec):
    """How hard to search."""

    loss: Literal["cross_entropy", "ratio", "targeted_ratio"] = "cross_entropy"
    """What to climb. The ratio is the DLR loss: the margin divided by a difference of high logits, so that their scale
    does not matter. `targeted_ratio` aims each try at another class. With 2 classes the ratio is the plain margin."""
    steps: int = Field(default=100, ge=1, le=10_000)
    """Gradient steps a try."""
    restarts: int = Field(default=1, ge=1, le=1000)
    """Tries; the worst of each image counts. With `targeted_ratio`: other classes to aim at."""


def build(options: APGDOptions) -> Attack:
    """The attack."""
    from core.apgd import APGDAttack

    return APGDAttack(**options.model_dump())


ENTRY = AttackEntry(
    name="apgd",
    summary="Auto-PGD on the cross-entropy, or on the (targeted) difference-of-logits ratio",
    options=APGDOptions,
    norms=frozenset({"l1", "l2", "linf"}),
    build=build,
    gradients=lambda options: (options.restarts, options.steps + 1),
)
