"""What a job will take: its counted work times rates that were measured, corrected by what past jobs took. Torch-free.

The rates are of the very network on the very machine, so what is left are errors that jobs of one sort share: slots
that share a processor, attacks that break images sooner than guessed. Past jobs show them: the ratios of what they took
to what the rates say give the correction (their median) and the range (10th to 90th percentile).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, quantiles

from core.work import PassKind, Work
from sieve.specs import Spec

ENOUGH = 5
"""Past jobs that tell more than a guess."""

UNSURE_MEMORY = 1.5
"""Without past jobs of its group, a job may well take so many times more or less memory."""


class Point(Spec):
    """One measured pass."""

    images: int
    seconds: float
    memory: int
    """Bytes at the peak, beside what the process held before."""


class Rates(Spec):
    """What passes through a network take on a machine."""

    passes: dict[PassKind, tuple[Point, ...]]
    """By kind, at growing numbers of images."""
    base: int
    """Bytes of a process that has started."""
    weights: int
    """Bytes of the network's weights."""

    def seconds(self, kind: PassKind, images: int) -> float:
        """Of one pass."""
        return _at([(point.images, point.seconds) for point in self.passes[kind]], images)

    def memory(self, kind: PassKind, images: int) -> float:
        """Bytes of one pass."""
        return _at([(point.images, float(point.memory)) for point in self.passes[kind]], images)


@dataclass(frozen=True)
class Taken:
    """Seconds on one slot, and bytes of memory at the peak."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Past:
    """A job that has ended: what it took, as a multiple of what the rates say."""

    group: str
    network: str | None
    """Its network's key."""
    seconds: float
    memory: float


@dataclass(frozen=True)
class Range:
    """A value and what it may well turn out as."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Range:
        """All three."""
        return Range(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Estimate:
    """What a job will take."""

    seconds: Range
    memory: Range
    """Bytes at the peak."""
    files: int
    """Bytes of files that it keeps."""
    past: int
    """Jobs of its own sort that it was corrected by, and that the ranges are of; 0: there were too few."""


def by_rates(work: Work, rates: Rates | None) -> Taken:
    """What the rates say, uncorrected. Work without a network needs none."""
    if rates is None:
        assert work.network is None
        return Taken(work.seconds, 0.0)
    seconds = work.seconds + sum(one.times * rates.seconds(one.kind, one.images) for one in work.passes)
    return Taken(seconds, rates.base + work.images_bytes + max(rates.memory(p.kind, p.images) for p in work.passes))


def estimate(work: Work, rates: Rates | None, past: Sequence[Past]) -> Estimate:
    """What a job will take, by the rates and by past jobs."""
    plain = by_rates(work, rates)
    alike = _alike(work, past)
    told = alike or (past if len(past) >= ENOUGH else ())
    unsure = None if alike else work.unsure
    return Estimate(
        seconds=_spread([job.seconds for job in told], unsure).times(plain.seconds),
        memory=_spread([job.memory for job in told], None if alike else UNSURE_MEMORY).times(plain.memory),
        files=work.files_bytes + work.models * (0 if rates is None else rates.weights),
        past=len(alike),
    )


def finished_after(jobs: Iterable[tuple[str, Sequence[str], float]], slots: int) -> float:
    """Seconds until all jobs (name, names that it needs, seconds) are through, each begun as soon as one of the slots
    is free and what it needs is there. Jobs come after those that they need; names from elsewhere are there."""
    free, waiting = [0.0] * slots, list(jobs)
    ended: dict[str, float] = {}
    names = {name for name, _, _ in waiting}
    while waiting:
        ready = {
            name: max((ended[need] for need in needs if need in names), default=0.0)
            for name, needs, _ in waiting
            if all(need in ended for need in needs if need in names)
        }
        slot = min(range(slots), key=free.__getitem__)
        first = min((job for job in waiting if job[0] in ready), key=lambda job: max(ready[job[0]], free[slot]))
        name, _, seconds = first
        ended[name] = free[slot] = max(ready[name], free[slot]) + seconds
        waiting.remove(first)
    return max(ended.values(), default=0.0)


def _alike(work: Work, past: Sequence[Past]) -> Sequence[Past]:
    """Past jobs of this group: with this network, else with any; none where they are too few."""
    key = None if work.network is None else work.network.key
    group = [job for job in past if job.group == work.group]
    same = [job for job in group if job.network == key]
    return next((jobs for jobs in (same, group) if len(jobs) >= ENOUGH), ())


def _spread(ratios: Sequence[float], unsure: float | None) -> Range:
    """Median, 10th and 90th percentile. With `unsure`, the ratios are of jobs of other sorts: their median corrects,
    and the range is from 1/`unsure` to `unsure` times it."""
    middle = median(ratios) if ratios else 1.0
    if unsure is not None:
        return Range(middle, middle / unsure, middle * unsure)
    cuts = quantiles(ratios, n=10, method="inclusive")
    return Range(middle, cuts[0], cuts[-1])


def _at(points: Sequence[tuple[int, float]], images: int) -> float:
    """Between measured points on the line through both, beyond them on the line through the nearest two; of one point,
    in proportion."""
    if len(points) == 1:
        (at, value) = points[0]
        return value * images / at
    (low, below), (high, above) = next((pair for pair in pairwise(points) if images <= pair[1][0]), points[-2:])
    return max(0.0, below + (above - below) * (images - low) / (high - low))
