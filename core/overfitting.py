"""Catastrophic overfitting of fast adversarial training, and trainings that learn nothing: seen on held-out images.

An adversary of one step is cheap, and from one epoch to the next a model may learn to stand that one step and nothing
else (Wong et al. 2020, arXiv 2001.03994). So a training whose adversary takes few steps is watched by one that takes
many in the same ball; its epochs are chosen by what that one leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from core.statistics import wilson_interval
from core.training_state import Epoch
from sieve.specs import PGD

FEW = 2
"""An adversary of fewer steps is watched."""
WATCHING = {"steps": 10, "relative_step": 0.25}
"""The adversary that watches."""
COLLAPSED = 0.5
"""Less than this part is left of the best robust accuracy so far, or of chance, which a constant answer has ..."""
ABOVE_CHANCE = 2.0
"""... while the accuracy under few steps is no less than at that best, and so many times chance."""


def watching(adversary: PGD | None) -> PGD | None:
    """The adversary of many steps that watches over one of few, in the same ball; None where none has to."""
    if adversary is None or adversary.steps >= FEW:
        return None
    return adversary.model_copy(update=WATCHING)


@dataclass(frozen=True)
class Collapse:
    """The first epoch after which a training had overfitted to its adversary. Accuracies on the validation images."""

    epoch: int
    few_steps: float
    """Under the training's own adversary."""
    many_steps: float
    """Under the one that watches."""
    best_epoch: int
    """Before; 0 where none had been better than a constant answer."""
    best_many_steps: float

    def sentence(self) -> str:
        """For logs and reports."""
        return (
            f"Catastrophic overfitting after epoch {self.epoch}: under an attack of many steps {self.many_steps:.1%} "
            f"of the validation images are read right ({self.best_many_steps:.1%} after epoch {self.best_epoch}), "
            f"under the training's own adversary {self.few_steps:.1%}."
        )


def collapse(history: Sequence[Epoch], chance: float) -> Collapse | None:
    """The first epoch at which robust accuracy under many steps has collapsed and that under few steps has not.

    Args:
        history: of a training, from its first epoch.
        chance: accuracy of always saying the commonest class.
    """
    best: Epoch | None = None
    for epoch in history:
        if epoch.robust is None or epoch.few_steps is None:
            return None
        before = best or Epoch(0, 0.0, chance, robust=chance, few_steps=chance)
        assert before.robust is not None
        assert before.few_steps is not None
        fell = epoch.robust < COLLAPSED * max(before.robust, chance)
        if fell and epoch.few_steps >= max(before.few_steps, ABOVE_CHANCE * chance):
            return Collapse(epoch.number, epoch.few_steps, epoch.robust, before.number, before.robust)
        if epoch.robust >= before.robust:
            best = epoch
    return None


def chance(labels: Tensor) -> float:
    """Accuracy of always saying the commonest of these labels, int64 [n]; 0 of none."""
    return int(labels.bincount().max()) / len(labels) if len(labels) else 0.0


def stuck_at_chance(standard: float | None, labels: Tensor) -> bool | None:
    """Can an accuracy on images with these labels (int64 [n]) not be told from always saying the commonest class?

    By Wilson's 95 % interval; None where there are no images.
    """
    return None if standard is None else wilson_interval(standard, len(labels))[0] <= chance(labels)
