"""What a training steps down: the gradients of a batch's loss, of its images as they are or attacked."""

from __future__ import annotations

from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional

from core.frozen import FrozenModel
from core.losses import cross_entropy, divergence
from core.memory import parts
from core.models import Classifier
from core.pgd import pgd
from core.repeating import Recorded, State
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
        self._pgd = adversary
        self._diverging = diverging

    def refresh(self) -> None:
        """Attack the model as it is now."""
        self._view.refresh()

    def start(self, x: Tensor, draws: torch.Generator) -> Tensor:
        """Where the attack on `x` begins, like `x`."""
        if self._pgd.random_start:
            return self._ball(x).random_start(draws)
        if not self._diverging:
            return x
        return (x + NUDGE * torch.empty_like(x).normal_(generator=draws)).clamp_(0, 1)

    def climb(self, x: Tensor, labels: Tensor, start: Tensor) -> Tensor:
        """From there, attacked images, like `x`, for the model as it was at the last `refresh`."""
        if self._diverging:
            with torch.no_grad():
                clean = self._view.logits(x)

        def loss(z: Tensor) -> Tensor:
            logits = self._view.logits(z)
            return divergence(clean, logits) if self._diverging else cross_entropy(logits, labels)

        lengths = [self._pgd.relative_step * self._pgd.epsilon] * self._pgd.steps
        return pgd(loss, self._ball(x), start, lengths)

    def attack(self, x: Tensor, labels: Tensor, draws: torch.Generator) -> Tensor:
        """Both."""
        return self.climb(x, labels, self.start(x, draws))

    def _ball(self, x: Tensor) -> Ball:
        return Ball(NORMS[self._pgd.norm], x, self._pgd.epsilon)


class Descent:
    """The gradients of one batch after the other, of its images as they are or attacked."""

    def __init__(
        self, model: Classifier, optimiser: SGD, adversary: Adversary | None, objective: Objective | None = None
    ) -> None:
        self._model, self._optimiser, self._adversary = model, optimiser, adversary
        self._objective = objective or CrossEntropy()
        self._down = Recorded(self._gradients)
        by_type = groupby(sorted(model.buffers(), key=_type), _type)
        self._statistics = [[*of_one_type] for _, of_one_type in by_type]
        self._kept = [[statistic.clone() for statistic in group] for group in self._statistics]

    def begin(self, x: Tensor, labels: Tensor, draws: torch.Generator) -> None:
        """With a batch [n, C, H, W] and its labels int64 [n]; `draws` are the adversary's."""
        self._x, self._labels, self._draws = x, labels, draws
        # What is broken off for want of memory begins again from here.
        self._drawn = draws.get_state()
        _copy(self._kept, self._statistics)

    def gradients(self, at_once: int) -> tuple[list[Tensor], Tensor]:
        """For every parameter those of the batch's mean loss, and that loss, over parts of at most `at_once` images.

        The next call may overwrite them.
        """
        self._draws.set_state(self._drawn)
        _copy(self._statistics, self._kept)
        total: list[Tensor] = []
        for part in parts(slice(0, len(self._x)), at_once):
            x, y = self._x[part], self._labels[part]
            start = x if self._adversary is None else self._adversary.start(x, self._draws)
            found = [*self._down(x, y, start)]
            if len(x) == len(self._x):
                total = found
            elif total:
                torch._foreach_add_(total, found)
            else:
                total = [tensor.clone() for tensor in found]
        return total[:-1], total[-1]

    def _gradients(self, x: Tensor, y: Tensor, start: Tensor) -> State:
        """Of some of the batch's images; and last their part of its mean loss."""
        attacked = x
        if self._adversary is not None:
            self._adversary.refresh()
            attacked = self._adversary.climb(x, y, start)
        loss = self._loss(x, attacked, y) / len(self._x)
        return *self._optimiser.gradients(loss), loss.detach()

    def _loss(self, x: Tensor, attacked: Tensor, y: Tensor) -> Tensor:
        """The sum over the images."""
        if not isinstance(self._objective, Trades):
            return functional.cross_entropy(self._model(attacked), y, reduction="sum")
        clean = self._model(x)
        apart = divergence(clean, self._model(attacked)).sum()
        return functional.cross_entropy(clean, y, reduction="sum") + self._objective.beta * apart


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype)


def _copy(to: list[list[Tensor]], values: list[list[Tensor]]) -> None:
    """Group by group: what is of one type is copied at once."""
    for held, given in zip(to, values, strict=True):
        torch._foreach_copy_(held, given)
