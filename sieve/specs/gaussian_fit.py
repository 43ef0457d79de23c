"""Spec of one fit in the Gaussian model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sieve.specs.base import Seed, Spec
from sieve.specs.followups.gaussian import Row, check_covariance


class GaussianFitSpec(Spec):
    """Fit N(y mu, Sigma) to data that is distributed so, by gradient descent, against an adversary of a given size."""

    kind: Literal["gaussian_fit"] = "gaussian_fit"
    mean: Row
    """mu of the data."""
    covariance: tuple[Row, ...] = Field(min_length=1, max_length=16)
    """Sigma of the data, rows of a symmetric positive definite matrix."""
    epsilon: float = Field(ge=0, le=100)
    """Size of the adversary's moves; 0 for none."""
    adversary: Literal["relaxed", "pointwise"] = "relaxed"
    """`relaxed`: E ||delta||^2 = epsilon^2. `pointwise`: ||delta|| <= epsilon for each point."""
    draws: int = Field(default=200_000, ge=1000, le=10_000_000)
    """Points that stand for the population; the pointwise adversary alone needs them."""
    seed: Seed = 0
    """Fixes the draws."""

    @model_validator(mode="after")
    def _fitting(self) -> GaussianFitSpec:
        check_covariance(self.covariance, len(self.mean), "covariance")
        return self
