"""An attack of somebody else's distribution: one step to the ball's surface (Goodfellow et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.cards import AttackEntry
from sieve.specs import Spec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from core.frozen import FrozenModel
    from core.threat import Ball


@dataclass(frozen=True)
class OneStep:
    """Climb the cross-entropy once, as far as the ball reaches."""

    label: str = "one step"
    restarts: int = 1

    def perturb(
        self, model: FrozenModel, labels: Tensor, ball: Ball, restart: int, generator: torch.Generator
    ) -> Tensor:
        from core.losses import cross_entropy
        from core.pgd import pgd

        return pgd(lambda z: cross_entropy(model.logits(z), labels), ball, ball.center, [ball.epsilon])


def build(options: Spec) -> OneStep:
    return OneStep()


ENTRY = AttackEntry(
    name="one_step", summary="one step to the surface", options=Spec, norms=frozenset({"l2", "linf"}), build=build
)
