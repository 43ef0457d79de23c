"""Spec of the Gaussian model (Ilyas et al. 2019, section 4)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sieve.specs.base import Seed
from sieve.specs.followups.base import Preset

Number = Annotated[float, Field(ge=-1e4, le=1e4)]
Row = Annotated[tuple[Number, ...], Field(min_length=1, max_length=16)]


class GaussianSpec(Preset):
    """Two Gaussians N(y mu, Sigma) with y = 1 or -1: maximum likelihood, and maximum likelihood under an adversary.

    Gradient descent on the parameters' covariance. Adversary `relaxed` moves each point by delta with
    E ||delta||^2 = epsilon^2, as in the paper; `pointwise` by ||delta|| <= epsilon each.
    """

    kind: Literal["gaussian"] = "gaussian"
    mean: Row = (2.0, 0.5)
    """mu."""
    covariances: tuple[Annotated[tuple[Row, ...], Field(min_length=1, max_length=16)], ...] = Field(
        default=(((1.0, 0.7), (0.7, 1.0)),), min_length=1, max_length=16
    )
    """Sigma, rows of a symmetric positive definite matrix; several are studied one by one. The first is drawn, where it
    has two rows."""
    epsilons: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(
        default=(0.25, 0.5, 1.0, 2.0), min_length=1, max_length=16
    )
    """Sizes of the adversary's moves."""
    draws: int = Field(default=200_000, ge=1000, le=10_000_000)
    """Draws of the pointwise adversary's expectations (Monte Carlo); it is run in one dimension with variance 1."""
    seed: Seed = 0
    """Fixes the draws."""

    @model_validator(mode="after")
    def _square_and_fitting(self) -> GaussianSpec:
        for at, rows in enumerate(self.covariances):
            check_covariance(rows, len(self.mean), f"covariances/{at}")
        return self


def check_covariance(rows: tuple[Row, ...], size: int, field: str) -> None:
    """Raise `ValueError` unless a matrix is size by size, symmetric and positive definite (Cholesky's test)."""
    if len(rows) != size or any(len(row) != size for row in rows):
        raise ValueError(f"{field} is not {size} by {size}, as the mean asks")
    if any(abs(rows[i][j] - rows[j][i]) > 1e-9 for i in range(size) for j in range(i)):
        raise ValueError(f"{field} is not symmetric")
    lower = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = rows[i][j] - math.fsum(lower[i][k] * lower[j][k] for k in range(j))
            if i == j and rest <= 1e-12:
                raise ValueError(f"{field} is not positive definite")
            lower[i][j] = math.sqrt(rest) if i == j else rest / lower[j][j]
