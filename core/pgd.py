"""Projected gradient ascent: the one loop behind attacks, adversarial training and synthesis.

Madry et al. (2018), arXiv 1706.06083. What is climbed is the caller's objective; where one may go is the ball's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.frozen import FrozenModel
from core.losses import Loss
from core.threat import Ball

Objective = Callable[[Tensor], Tensor]
"""Images [n, C, H, W] to values [n], each of its own image alone; to be made large."""


def pgd(objective: Objective, ball: Ball, start: Tensor, step_lengths: Sequence[float]) -> Tensor:
    """Climb `objective` from `start` inside `ball`, one step of each length; the last point reached.

    No early stop, no rescaling to the surface, no best iterate: the recipe of Ilyas et al. (2019).

    Returns:
        [n, C, H, W] in [0, 1], within the ball's epsilon of its centre.
    """
    z = start
    for length in step_lengths:
        z = ball.step(z, gradient(objective, z), length)
    return z


def gradient(objective: Objective, z: Tensor) -> Tensor:
    """The gradient of each image's value with respect to that image, like `z`. No parameter's gradient is touched."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        total = objective(z).sum()
    (found,) = torch.autograd.grad(total, z)
    return found


@dataclass(frozen=True)
class PGDAttack:
    """PGD as an `Attack`: try 0 starts at the image, the others uniformly in the ball."""

    label: str
    loss: Loss
    steps: int
    restarts: int
    relative_step: float

    def perturb(
        self, model: FrozenModel, labels: Tensor, ball: Ball, restart: int, generator: torch.Generator
    ) -> Tensor:
        """See `core.attack.Attack`."""
        start = ball.random_start(generator) if restart > 0 else ball.center
        step_lengths = [self.relative_step * ball.epsilon] * self.steps
        return pgd(lambda z: self.loss(model.logits(z), labels), ball, start, step_lengths)
