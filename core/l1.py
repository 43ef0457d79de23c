"""The l1 norm: steps of few pixels, and the projection onto its ball within the box [0, 1].

Croce and Hein (2021), arXiv 2103.01208: in l1 an image's box cuts most of the ball away, so that going to the ball
first and to the box then ends far from the nearest point of both, and an attack that does it is weak.

Shape legend: n images of d values; a perturbation or gradient is [n, C, H, W], a per-image value [n].
"""

from __future__ import annotations

import torch
from torch import Tensor

MOVED = 0.05
"""Share of an image's values that a plain step moves: those of the largest slope."""


def length(delta: Tensor) -> Tensor:
    """Sum of the absolute values, [n]."""
    return delta.abs().flatten(1).sum(1)


def direction(gradient: Tensor) -> Tensor:
    """A step of length 1, equally along the 5 % of the values of the largest slope: 0 where the gradient is 0.

    The steepest step moves a single value: that takes one gradient for each value that is to move.
    """
    d = gradient[0].numel()
    return sparse_direction(gradient, torch.full((len(gradient),), MOVED * d, device=gradient.device))


def sparse_direction(gradient: Tensor, moved: Tensor) -> Tensor:
    """A step of length 1, equally along the `moved` [n] values of the largest slope (rounded, at least 1)."""
    flat = gradient.flatten(1)
    size = flat.abs()
    count = moved.round().long().clamp(1, flat.shape[1])
    order = size.argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(flat.shape[1], device=order.device).expand_as(order))
    step = torch.where(rank < count.unsqueeze(1), flat.sign(), 0.0)
    step = step / step.abs().sum(1, keepdim=True).clamp_min(1)
    return step.reshape(gradient.shape)


def shrink(delta: Tensor, radius: float) -> Tensor:
    """The nearest perturbation within the ball: every value nearer to 0 by one threshold (Duchi et al. 2008)."""
    flat = delta.flatten(1)
    kept = _thresholded(flat.abs(), torch.full_like(flat, torch.inf), radius)
    return (kept * flat.sign()).reshape(delta.shape)


def shrink_in_box(delta: Tensor, center: Tensor, radius: float) -> Tensor:
    """The nearest perturbation that is within the ball and, added to the centre, within [0, 1].

    By the conditions of Karush, Kuhn and Tucker it is min(max(|delta| - threshold, 0), room) with the sign of delta,
    with one threshold for an image; room is how far the value may go in that direction.
    """
    flat, base = delta.flatten(1), center.flatten(1)
    room = torch.where(flat > 0, 1 - base, base)
    kept = _thresholded(flat.abs(), room, radius)
    return (kept * flat.sign()).reshape(delta.shape)


def uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform draws from the unit ball: d of d + 1 exponentials, divided by the sum of all, with random signs."""
    flat = like.flatten(1)
    drawn = torch.empty(len(flat), flat.shape[1] + 1, device=like.device).exponential_(generator=generator)
    signs = torch.empty_like(flat).uniform_(-1, 1, generator=generator).sign_()
    return (drawn[:, :-1] / drawn.sum(1, keepdim=True) * signs).reshape(like.shape)


def _thresholded(size: Tensor, room: Tensor, radius: float) -> Tensor:
    """min(max(size - t, 0), room) [n, d], with the smallest t >= 0 for each image whose sum is at most the radius.

    The sum falls with t along straight lines between the points where a value starts to shrink (size - room) and where
    it is gone (size); sorted, these give the piece that holds t, and the piece gives t.
    """
    begins, gone = (size - room).clamp_min(0).double(), size.double()
    points, order = torch.cat([begins, gone], 1).sort(dim=1)
    d = size.shape[1]
    slope = torch.where(order < d, 1.0, -1.0).double().cumsum(1)  # of the values that shrink after each point
    fallen = torch.zeros_like(points)
    fallen[:, 1:] = (slope[:, :-1] * points.diff(dim=1)).cumsum(1)
    # Before the first point nothing shrinks; it may be above 0.
    most = torch.minimum(gone, room.double()).sum(1, keepdim=True)
    left = most - fallen
    piece = ((left > radius).sum(1, keepdim=True) - 1).clamp_min(0)
    steepness = slope.gather(1, piece).clamp_min(1)
    threshold = points.gather(1, piece) + (left.gather(1, piece) - radius).clamp_min(0) / steepness
    threshold = torch.where(most > radius, threshold, 0.0)
    return torch.minimum((gone - threshold).clamp_min(0), room.double()).to(size.dtype)
