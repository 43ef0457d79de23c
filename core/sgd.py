"""Stochastic gradient descent with Nesterov momentum, as `torch.optim.SGD` does it, in the open.

Written out because constructing any of torch's optimisers first imports its compiler, which takes seconds in every
process that trains.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class SGD:
    """Sutskever et al. (2013) in torch's form: v <- m v + g, w <- w - rate (g + m v), g with weight decay."""

    def __init__(self, model: nn.Module, *, momentum: float, weight_decay: float) -> None:
        parameters = dict(model.named_parameters())
        self.velocity: Mapping[str, Tensor] = {name: torch.zeros_like(p) for name, p in parameters.items()}
        """By parameter name."""
        self._parameters: list[Tensor] = list(parameters.values())
        self._momentum = momentum
        self._weight_decay = weight_decay

    def gradients(self, loss: Tensor) -> list[Tensor]:
        """Of `loss`, a scalar, for every parameter; 0 where it does not depend on one."""
        return list(torch.autograd.grad(loss, self._parameters, materialize_grads=True))

    @torch.no_grad()
    def step(self, gradients: list[Tensor], rate: float) -> None:
        """Move every parameter down its gradient at this learning rate. Overwrites the gradients."""
        velocity = list(self.velocity.values())
        torch._foreach_add_(gradients, self._parameters, alpha=self._weight_decay)
        torch._foreach_mul_(velocity, self._momentum)
        torch._foreach_add_(velocity, gradients)
        torch._foreach_add_(gradients, velocity, alpha=self._momentum)
        torch._foreach_add_(self._parameters, gradients, alpha=-rate)
