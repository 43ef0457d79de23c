"""The strong ensemble: four attacks that fail for different reasons, as AutoAttack has them (Croce and Hein 2020).

Auto-PGD on the cross-entropy, then on the logits ratio at each of the nine best other classes, FAB likewise, Square.
An image that one of them breaks is gone for all that follow, so the cheap attacks, which break nearly all that can be
broken, come first. What it leaves out where that costs nothing: classes that the dataset does not have, and the rest
of Square's queries where the first 500 broke nothing (see `core.square`).
"""

from __future__ import annotations

from pydantic import Field

from core.cards import AttackEntry
from sieve.specs import AttackRef, Spec

TARGETS = 9
"""Other classes that are aimed at."""
DRAWS = 3
"""Tries of Square: on a model whose gradients are masked, all the strength is its own."""


class StrongOptions(Spec):
    """How hard to search: by default as hard as AutoAttack's standard version."""

    steps: int = Field(default=100, ge=10, le=10_000)
    """Gradient steps a try of Auto-PGD and FAB."""
    queries: int = Field(default=5000, ge=10, le=1_000_000)
    """Square's queries."""


def members(options: StrongOptions) -> list[AttackRef]:
    """The four."""
    return [
        AttackRef(name="apgd", options={"loss": "cross_entropy", "steps": options.steps}),
        AttackRef(name="apgd", options={"loss": "targeted_ratio", "steps": options.steps, "restarts": TARGETS}),
        AttackRef(name="fab", options={"steps": options.steps, "restarts": TARGETS}),
        AttackRef(name="square", options={"queries": options.queries, "restarts": DRAWS, "give_up": True}),
    ]


ENTRY = AttackEntry(
    name="strong",
    summary="ensemble at the strength of AutoAttack's standard version: two Auto-PGDs, FAB and Square",
    options=StrongOptions,
    norms=frozenset({"l1", "l2", "linf"}),
    build=None,
    members=members,
)
