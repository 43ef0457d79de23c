"""FAB (Croce and Hein 2020): along the boundary to the nearest misread image, one class a try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from core.cards import AttackEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.attack import Attack


class FABOptions(Spec):
    """How hard to search."""

    steps: int = Field(default=100, ge=1, le=10_000)
    """Gradient steps a try."""
    restarts: int = Field(default=9, ge=1, le=1000)
    """Other classes to aim at, one a try; the worst of each image counts."""


def build(options: FABOptions) -> Attack:
    """The attack."""
    from core.fab import FABAttack

    return FABAttack(**options.model_dump())


ENTRY = AttackEntry(
    name="fab",
    summary="minimum-norm attack along the decision boundary",
    options=FABOptions,
    norms=frozenset({"l1", "l2", "linf"}),
    build=build,
    gradients=lambda options: (options.restarts, options.steps + 1),
)
