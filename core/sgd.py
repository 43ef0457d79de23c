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

    @torch.no_grad()
    def step(self, loss: Tensor, rate: float) -> None:
        """Move every parameter down the gradient of `loss`, a scalar, at this learning rate."""
        gradients = torch.autograd.grad(loss, self._parameters, materialize_grads=True)
        velocity = list(self.velocity.values())
        decayed = torch._foreach_add(gradients, self._parameters, alpha=self._weight_decay)
        torch._foreach_mul_(velocity, self._momentum)
        torch._foreach_add_(velocity, decayed)
        torch._foreach_add_(decayed, velocity, alpha=self._momentum)
        torch._foreach_add_(self._parameters, decayed, alpha=-rate)
