"""Projected gradient ascent: the one loop behind attacks, adversarial training and synthesis.

Madry et al. (2018), arXiv 1706.06083. What is climbed is the caller's objective; where one may go is the ball's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor

from core.frozen import FrozenModel
from core.losses import cross_entropy, margin
from core.repeating import repeated
from core.rivals import ranked_rivals
from core.threat import Ball

Objective = Callable[[Tensor], Tensor]
"""Images [n, C, H, W] to values [n], each of its own image alone; to be made large."""


def pgd(objective: Objective, ball: Ball, start: Tensor, step_lengths: Sequence[float]) -> Tensor:
    """Climb `objective` from `start` inside `ball`, one step of each length; the last point reached.

    No early stop, no rescaling to the surface, no best iterate: the recipe of Ilyas et al. (2019).

    Returns:
        [n, C, H, W] in [0, 1], within the ball's epsilon of its centre.
    """
    # Laid out as networks compute, so that nothing is moved around on the way to and from them.
    ball = replace(ball, center=ball.center.contiguous(memory_format=torch.channels_last))
    z = start.contiguous(memory_format=torch.channels_last)
    for length, equal in groupby(step_lengths):
        (z,) = repeated(partial(_step, objective, ball, length), (z,), len(list(equal)))
    return z.contiguous()


def _step(objective: Objective, ball: Ball, length: float, z: Tensor) -> tuple[Tensor]:
    return (ball.step(z, gradient(objective, z), length),)


def gradient(objective: Objective, z: Tensor) -> Tensor:
    """The gradient of each image's value with respect to that image, like `z`. No parameter's gradient is touched."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        total = objective(z).sum()
    (found,) = torch.autograd.grad(total, z)
    return found


@dataclass(frozen=True)
class PGDAttack:
    """PGD as an `Attack`: try 0 starts at the image, the others uniformly in the ball.

    On the margin, the tries after the first each aim at one class: the second best other class of the image itself,
    the third best, and so on, as the targeted attacks of AutoAttack do (Croce and Hein, 2020). That finds much more
    than more random starts do.
    """

    loss: Literal["cross_entropy", "margin"]
    steps: int
    relative_step: float
    restarts: int = 1

    @property
    def label(self) -> str:
        """See `core.attack.Attack`."""
        return f"pgd {self.loss}"

    def perturb(
        self, model: FrozenModel, labels: Tensor, ball: Ball, restart: int, generator: torch.Generator
    ) -> Tensor:
        """See `core.attack.Attack`."""
        start = ball.random_start(generator) if restart > 0 else ball.center
        rivals = ranked_rivals(model, labels, ball.center, restart) if restart > 0 and self.loss == "margin" else None

        def loss(z: Tensor) -> Tensor:
            logits = model.logits(z)
            return cross_entropy(logits, labels) if self.loss == "cross_entropy" else margin(logits, labels, rivals)

        return pgd(loss, ball, start, [self.relative_step * ball.epsilon] * self.steps)
