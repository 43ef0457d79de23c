"""Threat models: the points that an attack may reach, and how it moves among them.

A `Norm` says how perturbations are measured, drawn, stepped along and shrunk; a `Ball` is one norm's ball around each
image of a batch, cut with the box [0, 1]. Both know nothing of models. What l1 needs is in `core.l1`.

Shape legend: n images; a perturbation or gradient is [n, C, H, W], a per-image value [n]. Lengths and radii are in
pixel values; normalisation is inside the model, so nothing here knows of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

from core import l1
from sieve.specs import Norm as NormName

TOLERANCE = 1e-6
"""By this share of epsilon a length may exceed it: that of float64 on fp32 pixels."""
_IMAGE = (1, 2, 3)
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Norm:
    """A norm on perturbations."""

    name: NormName
    length: Callable[[Tensor], Tensor]
    """[n, C, H, W] to [n]."""
    direction: Callable[[Tensor], Tensor]
    """The step of length 1 that climbs a gradient fastest; 0 where the gradient is 0. May overwrite its argument."""
    shrink: Callable[[Tensor, float], Tensor]
    """The nearest perturbations within a radius. May overwrite its argument."""
    uniform: Callable[[Tensor, torch.Generator], Tensor]
    """Uniform draws from the unit ball, shaped like its argument."""


def _l2_length(delta: Tensor) -> Tensor:
    lengths: Tensor = vector_norm(delta, dim=_IMAGE)
    return lengths


def _l2_direction(gradient: Tensor) -> Tensor:
    # A confident model's gradient can be so small that its square is 0 in fp32: scale by the largest entry first.
    # (The norm of order infinity is the same number, but takes as long as everything else here together.)
    largest = torch.maximum(gradient.amax(_IMAGE, keepdim=True), gradient.amin(_IMAGE, keepdim=True).neg_())
    gradient /= largest.clamp_min_(_TINY)
    gradient /= vector_norm(gradient, dim=_IMAGE, keepdim=True).clamp_min_(_TINY)
    return gradient


def _l2_shrink(delta: Tensor, radius: float) -> Tensor:
    delta *= (radius / vector_norm(delta, dim=_IMAGE, keepdim=True).clamp_min_(_TINY)).clamp_max_(1)
    return delta


def _l2_uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    """A Gaussian's direction is uniform on the sphere; in d dimensions the radius of a uniform point is u^(1/d)."""
    gaussian = torch.empty_like(like).normal_(generator=generator)
    radius = torch.rand(len(like), 1, 1, 1, generator=generator, device=like.device) ** (1 / like[0].numel())
    return _l2_direction(gaussian) * radius


def _linf_length(delta: Tensor) -> Tensor:
    lengths: Tensor = vector_norm(delta, ord=math.inf, dim=_IMAGE)
    return lengths


def _linf_direction(gradient: Tensor) -> Tensor:
    return gradient.sign_()


def _linf_shrink(delta: Tensor, radius: float) -> Tensor:
    return delta.clamp_(-radius, radius)


def _linf_uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty_like(like).uniform_(-1, 1, generator=generator)


NORMS: Mapping[NormName, Norm] = {
    "l1": Norm("l1", l1.length, l1.direction, l1.shrink, l1.uniform),
    "l2": Norm("l2", _l2_length, _l2_direction, _l2_shrink, _l2_uniform),
    "linf": Norm("linf", _linf_length, _linf_direction, _linf_shrink, _linf_uniform),
}


@dataclass(frozen=True, eq=False)
class Ball:
    """The images in [0, 1] within `epsilon` of each centre. Without an epsilon: all of [0, 1]."""

    norm: Norm
    center: Tensor
    """[n, C, H, W] in [0, 1]."""
    epsilon: float = math.inf

    def random_start(self, generator: torch.Generator) -> Tensor:
        """Uniform in the ball, then clipped to [0, 1] (which only brings it nearer to the centre)."""
        return (self.center + self.epsilon * self.norm.uniform(self.center, generator)).clamp_(0, 1)

    def step(self, z: Tensor, gradient: Tensor, length: float) -> Tensor:
        """From `z` climb `gradient` by a step of this length, then go back to the nearest point of the ball, then clip.

        Overwrites `gradient`.
        """
        z = torch.add(z, self.norm.direction(gradient), alpha=length)
        return self.project(z)

    def project(self, z: Tensor) -> Tensor:
        """To the nearest point of the ball, then to that of the box; within l1, to the nearest of both at once.

        In l2 and linf what is clipped stays in the ball, and l2's nearest point of both is little nearer. In l1 that
        way would lose most of the ball (Croce and Hein, 2021). Overwrites its argument.
        """
        if self.epsilon < math.inf:
            delta = z.sub_(self.center)
            if self.norm.name == "l1":
                delta = l1.shrink_in_box(delta, self.center, self.epsilon)
            else:
                delta = self.norm.shrink(delta, self.epsilon)
            z = delta.add_(self.center)
        return z.clamp_(0, 1)

    def settled(self, z: Tensor) -> Tensor:
        """`z`, fp32, where it is in the ball and the box; what rounding left outside is moved in by as little again.

        Of what it gives, lengths in float64 are at most epsilon (1 + 1e-6) and values in [0, 1]. Attacks compute in
        fp32, where 0.9 + 8/255 is not exactly that: within linf alone this is more than the tolerance.
        """
        z = z.to(torch.float32).nan_to_num(0.0).clamp(0, 1)
        for halving in range(40):
            delta = z.double() - self.center.double()
            length = self.length(z)
            outside = length > self.epsilon * (1 + TOLERANCE)
            if not outside.any():
                break
            shorter = (self.epsilon / length * (1 - 2**halving * 1e-7)).clamp(0, 1).reshape(-1, 1, 1, 1)
            moved = (self.center.double() + delta * shorter).float().clamp_(0, 1)
            z = torch.where(outside.reshape(-1, 1, 1, 1), moved, z)
        return z

    def length(self, z: Tensor) -> Tensor:
        """How far images lie from the centres, float64 [n]."""
        return self.norm.length(z.double() - self.center.double())

    def among(self, rows: Tensor) -> Ball:
        """That of some of the images: a mask or indices."""
        return Ball(self.norm, self.center[rows], self.epsilon)
