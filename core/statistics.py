"""Intervals for accuracies: for one proportion, and for a mean over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Z95 = statistics.NormalDist().inv_cdf(0.975)
"""97.5 % quantile of the normal distribution."""

_T95 = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
"""97.5 % quantiles of Student's t with 1, 2, ... 10 degrees of freedom."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval. All values are fractions in [0, 1]."""

    mean: float
    """Mean over seeds."""
    low: float
    high: float
    kind: Literal["wilson", "student_t"]
    """`wilson`: one seed, the uncertainty of a finite test set. `student_t`: several seeds, that of their mean."""
    spread: float | None
    """Sample standard deviation over seeds; None for one seed."""
    per_seed: tuple[float, ...]


def estimate(values: Sequence[float], images: int) -> Estimate:
    """The mean of one accuracy a seed with a 95 % interval: Wilson's for one seed, Student's t for several.

    Args:
        values: accuracies in [0, 1], one a seed.
        images: the number of images that each was counted on.
    """
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        low, high = wilson_interval(mean, images)
        return Estimate(mean, low, high, "wilson", None, tuple(values))
    spread = statistics.stdev(values)
    half = t95(len(values) - 1) * spread / math.sqrt(len(values))
    return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half), "student_t", spread, tuple(values))


def wilson_interval(proportion: float, n: int) -> tuple[float, float]:
    """95 % interval of a proportion seen in `n` trials (Wilson, 1927): honest at 0 and 1, where Wald's has no width."""
    z2 = Z95 * Z95
    centre = (proportion + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(proportion * (1 - proportion) / n + z2 / (4 * n * n))
    return min(proportion, max(0.0, centre - half)), max(proportion, min(1.0, centre + half))


def t95(freedom: int) -> float:
    """97.5 % quantile of Student's t.

    Above 10 degrees of freedom by the expansion around the normal quantile (Abramowitz and Stegun 26.7.5, three terms;
    off by less than 0.001).
    """
    if freedom <= len(_T95):
        return _T95[freedom - 1]
    z = Z95
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
