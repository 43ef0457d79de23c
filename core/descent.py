"""What a training steps down: the gradients of a batch's loss, of its images as they are or attacked."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from core.frozen import FrozenModel
from core.losses import divergence
from core.memory import parts
from core.models import Classifier
from core.pgd import PGDAttack, pgd
from core.sgd import SGD
from core.threat import NORMS, Ball
from sieve.specs import PGD, CrossEntropy, Objective, Precision, Trades

NUDGE = 1e-3
"""Standard deviation of the noise that an adversary of TRADES starts from, as in its authors' code: at the image itself
the divergence has no gradient."""


class Adversary:
    """PGD against a model that changes from batch to batch: on the cross-entropy, or on the divergence of TRADES.

    The attack sees the model in evaluation mode: it climbs the loss of the classifier that will be used, and its
    forward passes do not move BatchNorm's statistics.
    """

    def __init__(self, adversary: PGD, model: Classifier, precision: Precision, *, diverging: bool = False) -> None:
        self._view = FrozenModel(model, precision)
        self._attack = PGDAttack("cross_entropy", adversary.steps, adversary.relative_step)
        self._pgd = adversary
        self._diverging = diverging

    def refresh(self) -> None:
        """Attack the model as it is now."""
        self._view.refresh()

    def attack(self, x: Tensor, labels: Tensor, draws: torch.Generator) -> Tensor:
        """Attacked images, of the shape of `x`, for the model as it was at the last `refresh`."""
        ball = Ball(NORMS[self._pgd.norm], x, self._pgd.epsilon)
        if not self._diverging:
            return self._attack.perturb(self._view, labels, ball, int(self._pgd.random_start), draws)
        with torch.no_grad():
            clean = self._view.logits(x)
        if self._pgd.random_start:
            start = ball.random_start(draws)
        else:
            start = (x + NUDGE * torch.empty_like(x).normal_(generator=draws)).clamp_(0, 1)
        lengths = [self._pgd.relative_step * self._pgd.epsilon] * self._pgd.steps
        return pgd(lambda z: divergence(clean, self._view.logits(z)), ball, start, lengths)


class Descent:
    """The gradients of one batch after the other, of its images as they are or attacked."""

    def __init__(
        self, model: Classifier, optimiser: SGD, adversary: Adversary | None, objective: Objective | None = None
    ) -> None:
        self._model, self._optimiser, self._adversary = model, optimiser, adversary
        self._objective = objective or CrossEntropy()
        self._statistics = list(model.buffers())
        self._kept = [statistic.clone() for statistic in self._statistics]

    def begin(self, x: Tensor, labels: Tensor, draws: torch.Generator) -> None:
        """With a batch [n, C, H, W] and its labels int64 [n]; `draws` are the adversary's."""
        self._x, self._labels, self._draws = x, labels, draws
        # What is broken off for want of memory begins again from here.
        self._drawn = draws.get_state()
        torch._foreach_copy_(self._kept, self._statistics)

    def gradients(self, at_once: int) -> tuple[list[Tensor], Tensor]:
        """For every parameter those of the batch's mean loss, and that loss, over parts of at most `at_once` images."""
        self._draws.set_state(self._drawn)
        torch._foreach_copy_(self._statistics, self._kept)
        if self._adversary is not None:
            self._adversary.refresh()
        total: list[Tensor] = []
        total_loss = torch.zeros((), device=self._x.device)
        for part in parts(slice(0, len(self._x)), at_once):
            x, y = self._x[part], self._labels[part]
            attacked = x if self._adversary is None else self._adversary.attack(x, y, self._draws)
            loss = self._loss(x, attacked, y) / len(self._x)
            gradients = self._optimiser.gradients(loss)
            if total:
                torch._foreach_add_(total, gradients)
            else:
                total = gradients
            total_loss += loss.detach()
        return total, total_loss

    def _loss(self, x: Tensor, attacked: Tensor, y: Tensor) -> Tensor:
        """The sum over the images."""
        if not isinstance(self._objective, Trades):
            return functional.cross_entropy(self._model(attacked), y, reduction="sum")
        clean = self._model(x)
        apart = divergence(clean, self._model(attacked)).sum()
        return functional.cross_entropy(clean, y, reduction="sum") + self._objective.beta * apart
