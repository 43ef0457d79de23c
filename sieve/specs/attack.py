"""Attacks and the threat models they search, as data."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sieve.specs.base import Epsilon, Norm, Spec


class PGD(Spec):
    """Projected gradient descent inside an epsilon ball (Madry et al. 2018), started at the image or at random."""

    norm: Norm = "l2"
    """Norm of the perturbation."""
    epsilon: Epsilon = 0.5
    """Radius of the ball, in pixel values in [0, 1]."""
    steps: int = Field(default=7, ge=1, le=10_000)
    """Gradient steps."""
    relative_step: float = Field(default=0.2, gt=0, le=10)
    """Length of one step as a fraction of epsilon."""
    random_start: bool = False
    """Start uniformly in the ball instead of at the image."""


class Threat(Spec):
    """The perturbations to evaluate against: one norm, several radii."""

    norm: Norm = "l2"
    """Norm of the perturbation."""
    epsilons: tuple[Annotated[float, Field(gt=0, le=1000)], ...] = Field(min_length=1, max_length=32)
    """Radii, in pixel values in [0, 1]; evaluated from the smallest to the largest."""
