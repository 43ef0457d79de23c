"""Square (Andriushchenko et al. 2020): random search by the logits alone, without any gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from core.cards import AttackEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.attack import Attack

READS_A_GRADIENT = 3
"""Queries that take about as long as one gradient."""


class SquareOptions(Spec):
    """How hard to search."""

    queries: int = Field(default=5000, ge=1, le=1_000_000)
    """Images shown to the model, for each image attacked and try."""
    restarts: int = Field(default=1, ge=1, le=1000)
    """Tries; the worst of each image counts."""
    give_up: bool = False
    """End a try whose first 500 queries broke none of the images that it is made on."""


def build(options: SquareOptions) -> Attack:
    """The attack."""
    from core.square import SquareAttack

    return SquareAttack(**options.model_dump())


ENTRY = AttackEntry(
    name="square",
    summary="black-box random search over square windows",
    options=SquareOptions,
    norms=frozenset({"l1", "l2", "linf"}),
    build=build,
    gradients=lambda options: (options.restarts, -(-options.queries // READS_A_GRADIENT)),
    black_box=True,
)
