"""Feature matching: images are moved until their features are those of other images.

`by_steps` is the recipe of Ilyas et al. (2019): l2-normalised steps whose lengths are given.

`fast` chooses the lengths itself. The smallest distance is known to be 0, so the linear model at a point says how far
to step: f / ||gradient||, to where it reaches 0 (Polyak 1969). A network bends more than its linear models say, so a
part of that is taken; what several steps agree on adds up (the heavy ball, Polyak 1964). Steps that go too far cost
little, for the nearest of all points passed is kept.

Shape legend: n images [n, C, H, W] in [0, 1]; F features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.linalg import vector_norm

from core.pgd import pgd
from core.repeating import repeated
from core.threat import NORMS, Ball

Features = Callable[[Tensor], Tensor]
"""Images [n, C, H, W] to [n, F], each by itself."""

PART = 0.2
"""Of Polyak's step. Half of it, and the points found lie a little nearer to the start and take longer to find."""
MOMENTUM = 0.6
"""The part of the last move that is made again."""
_TINY = torch.finfo(torch.float32).tiny


def by_steps(features: Features, goal: Tensor, start: Tensor, lengths: Sequence[float]) -> Tensor:
    """From `start`, min ||features(z) - goal||_2 over z in [0, 1] by steps of these lengths; the last point.

    Args:
        features: of the source model.
        goal: [n, F].
        start: [n, C, H, W] in [0, 1].
        lengths: in pixel values (l2), one a step.

    Returns:
        [n, C, H, W] in [0, 1].
    """

    def nearness(z: Tensor) -> Tensor:
        distance: Tensor = vector_norm(features(z) - goal, dim=1)
        return -distance

    return pgd(nearness, Ball(NORMS["l2"], start), start, lengths)


def fast(features: Features, goal: Tensor, start: Tensor, steps: int) -> Tensor:
    """As `by_steps`, without lengths: of the points passed, the nearest to its goal for each image.

    Takes `steps` gradients, and one forward pass more. The path does not depend on `steps`. An image whose gradient is
    0 stays where it is.
    """
    box = math.sqrt(start[0].numel())  # how wide [0, 1]^d is: no step need be longer, however small a gradient
    # Laid out as networks compute, see `pgd`.
    z = nearest = start.contiguous(memory_format=torch.channels_last)
    shortest = goal.new_full((len(goal),), math.inf)
    move = torch.zeros_like(z)

    def step(z: Tensor, move: Tensor, nearest: Tensor, shortest: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        distance, gradient = _measure(features, goal, z)
        nearest, shortest = _nearer(z, distance, nearest, shortest)
        length = PART * (distance / vector_norm(gradient, dim=(1, 2, 3)).clamp_min(_TINY)).clamp_max(box)
        towards = NORMS["l2"].direction(gradient).mul_(length[:, None, None, None])
        there = (MOMENTUM * move).sub_(towards).add_(z).clamp_(0, 1)
        return there, there - z, nearest, shortest

    z, move, nearest, shortest = repeated(step, (z, move, nearest, shortest), steps)
    with torch.no_grad():
        distance = vector_norm(features(z) - goal, dim=1)
    return _nearer(z, distance, nearest, shortest)[0].contiguous()


def _measure(features: Features, goal: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """||features(z) - goal||_2 for each image, [n], and the gradient of each, like `z`."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        distance: Tensor = vector_norm(features(z) - goal, dim=1)
        (gradient,) = torch.autograd.grad(distance.sum(), z)
    return distance.detach(), gradient


def _nearer(z: Tensor, distance: Tensor, nearest: Tensor, shortest: Tensor) -> tuple[Tensor, Tensor]:
    """`nearest` and `shortest`, with `z` and `distance` in the place of what they are better than."""
    better = distance < shortest
    return torch.where(better[:, None, None, None], z, nearest), torch.where(better, distance, shortest)
