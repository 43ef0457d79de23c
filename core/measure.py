"""A measured figure as reports give it: mean, interval, spread, and how many images and seeds it rests on.

A value is measured once for each source seed and each training on what that source gave. Sources differ more than
trainings do, so where there are several sources the interval is that of the mean over sources.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.statistics import Z95, t95, wilson_interval

IntervalKind = Literal["student_t", "wilson", "newcombe", "fisher", "none"]

MEANING: dict[IntervalKind, str] = {
    "student_t": "95 % Student t interval of the mean over seeds, at least as wide as Wilson's for one test set",
    "wilson": "95 % Wilson interval of one proportion; one seed says nothing about other seeds",
    "newcombe": "95 % interval of the difference of two proportions (Newcombe 1998); one seed",
    "fisher": "95 % interval of a correlation by Fisher's z",
    "none": "a number that is computed, not sampled",
}


@dataclass(frozen=True)
class Measure:
    """One figure."""

    what: str
    """In words, as the subject of a sentence."""
    mean: float
    low: float
    high: float
    kind: IntervalKind
    unit: str = "%"
    spread: float | None = None
    """Sample standard deviation over source seeds, or over trainings where there is one source; None of one value."""
    n_images: int | None = None
    n_seeds_source: int = 1
    n_seeds_training: int | None = None
    """Trainings behind each source seed; None where nothing was trained on what the source gave."""
    values: tuple[tuple[float, ...], ...] = ()
    """A row a source seed, a value a training."""

    @property
    def of_one_seed(self) -> bool:
        """Does its interval speak of test images alone?"""
        return self.kind in ("wilson", "newcombe")

    def json_values(self) -> dict[str, Any]:
        """As in `report.json`."""

        def rounded(value: float) -> float | None:
            return float(f"{value:.8g}") if math.isfinite(value) else None  # errors are small numbers, too

        return {
            "what": self.what,
            "unit": self.unit,
            "mean": rounded(self.mean),
            "low": rounded(self.low),
            "high": rounded(self.high),
            "interval": self.kind,
            "interval_meaning": MEANING[self.kind],
            "spread": None if self.spread is None else rounded(self.spread),
            "n_images": self.n_images,
            "n_seeds_source": self.n_seeds_source,
            "n_seeds_training": self.n_seeds_training,
            "values": [[rounded(value) for value in row] for row in self.values],
        }

    def text(self) -> str:
        """For a sentence: `23.5 % (20.1 to 26.9)`."""
        mean = number(self.mean, self.unit)
        return (
            mean if self.kind == "none" else f"{mean} ({_bare(self.low, self.unit)} to {_bare(self.high, self.unit)})"
        )


def number(value: float, unit: str) -> str:
    """A figure for people: percent with one digit, other numbers with four that count."""
    return f"{_bare(value, unit)} %" if unit == "%" else _bare(value, unit)


def _bare(value: float, unit: str) -> str:
    return f"{value:.1f}" if unit == "%" else f"{value:.4g}"


def rate(what: str, values: Sequence[Sequence[float]], images: int, *, trained: bool = True) -> Measure:
    """A rate of images, percent.

    Args:
        what: see `Measure`.
        values: fractions in [0, 1], a row a source seed, a value a training on what that source gave.
        images: the number of images that each was counted on.
        trained: were models trained on what the sources gave?
    """
    rows = tuple(tuple(100 * value for value in row) for row in values)
    means = [math.fsum(row) / len(row) for row in rows]
    spread_over = means if len(means) > 1 else list(rows[0])
    mean = math.fsum(means) / len(means)
    n_training = len(rows[0]) if trained else None
    common: dict[str, Any] = {"n_images": images, "n_seeds_source": len(rows), "n_seeds_training": n_training}
    least, most = (100 * bound for bound in wilson_interval(min(1.0, max(0.0, mean / 100)), images))
    if len(spread_over) == 1:
        return Measure(what, mean, least, most, "wilson", values=rows, **common)
    low, high, spread = _student(spread_over)
    low, high = (
        max(0.0, min(low, least)),
        min(100.0, max(high, most)),
    )  # equal seeds do not make a finite test set exact
    return Measure(what, mean, low, high, "student_t", spread=spread, values=rows, **common)


def difference(what: str, first: Measure, second: Measure) -> Measure:
    """first - second in points, seed by seed: both were measured with the same sources."""
    common: dict[str, Any] = {
        "n_images": first.n_images,
        "n_seeds_source": first.n_seeds_source,
        "n_seeds_training": first.n_seeds_training,
    }
    rows = tuple(
        (math.fsum(one) / len(one) - math.fsum(other) / len(other),)
        for one, other in zip(first.values, second.values, strict=True)
    )
    mean = first.mean - second.mean
    if len(rows) > 1:
        low, high, spread = _student([row[0] for row in rows])
        return Measure(what, mean, low, high, "student_t", spread=spread, values=rows, **common)
    below = math.hypot(first.mean - first.low, second.high - second.mean)
    above = math.hypot(first.high - first.mean, second.mean - second.low)
    return Measure(what, mean, mean - below, mean + above, "newcombe", values=rows, **common)


def correlation(what: str, x: Sequence[float], y: Sequence[float], **counts: Any) -> Measure:
    """Pearson's correlation of n pairs, with Fisher's interval: n of at least 4, else it is all of [-1, 1].

    A series without any spread correlates with nothing: 0, with the whole interval.
    """
    if min(statistics.pstdev(x), statistics.pstdev(y)) < 1e-12:
        return Measure(what, 0.0, -1.0, 1.0, "fisher", unit="", **counts)
    r = max(-1.0, min(1.0, statistics.correlation(x, y)))
    if len(x) < 4 or abs(r) == 1:
        return Measure(what, r, -1.0 if len(x) < 4 else r, 1.0 if len(x) < 4 else r, "fisher", unit="", **counts)
    z, half = math.atanh(r), Z95 / math.sqrt(len(x) - 3)
    return Measure(what, r, math.tanh(z - half), math.tanh(z + half), "fisher", unit="", **counts)


def computed(what: str, value: float, *, unit: str = "") -> Measure:
    """A number that is computed, not sampled."""
    return Measure(what, value, value, value, "none", unit=unit, values=((value,),))


def _student(values: Sequence[float]) -> tuple[float, float, float]:
    """95 % interval of the mean, and the sample standard deviation."""
    mean, spread = math.fsum(values) / len(values), statistics.stdev(values)
    half = t95(len(values) - 1) * spread / math.sqrt(len(values))
    return mean - half, mean + half, spread
