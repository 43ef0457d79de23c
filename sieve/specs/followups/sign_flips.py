"""Spec of sign flips: non-robust features generalise, yet a small perturbation turns them against the model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sieve.specs.base import Norm
from sieve.specs.followups.base import WithAdversary, WithTargets
from sieve.specs.synthesize import RandomTargetConstruction, RobustConstruction


class SignFlipsSpec(WithAdversary, WithTargets):
    """Each model's accuracy against the size of an attack and of noise."""

    kind: Literal["sign_flips"] = "sign_flips"
    robust: RobustConstruction
    """Construction of D_R and D_NR."""
    random_target: RandomTargetConstruction
    """Construction of D_rand."""
    norm: Norm = "l2"
    epsilons: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(min_length=2, max_length=32)
    """Radii of the attack, rising. The claims are about the middle one."""
    noise: tuple[Annotated[float, Field(gt=0, le=10)], ...] = Field(min_length=1, max_length=16)
    """Standard deviations of Gaussian noise, rising. Noise of deviation s has an l2 norm of about s times the square
    root of the number of pixel values. The claim about noise is about the largest."""
