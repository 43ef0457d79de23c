"""Timing in turn: every contestant once a round, so that a machine that slows down slows all of them alike."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Round = Mapping[str, Callable[[], object]]


@dataclass
class Times:
    """What a contestant took, one entry a round."""

    wall: list[float] = field(default_factory=list)
    """Seconds."""
    processor: list[float] = field(default_factory=list)
    """Seconds of processor time of this process: what others do on the machine counts less here."""


def in_turn(contestants: Round, rounds: int, *, warm: bool = True) -> dict[str, Times]:
    """Run each contestant `rounds` times in turn; where `warm`, once untimed before that."""
    for run in contestants.values() if warm else ():
        run()
    times = {name: Times() for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            began, worked = time.perf_counter(), time.process_time()
            run()
            times[name].wall.append(time.perf_counter() - began)
            times[name].processor.append(time.process_time() - worked)
    return times


def ratio(slower: Sequence[float], faster: Sequence[float]) -> dict[str, float]:
    """How many times faster, round by round: the median, the lowest and the highest."""
    ratios = [one / other for one, other in zip(slower, faster, strict=True)]
    return {
        "median": round(statistics.median(ratios), 2),
        "lowest": round(min(ratios), 2),
        "highest": round(max(ratios), 2),
    }


def load() -> float:
    """How many processes wanted to run, on average over the last minute."""
    return round(os.getloadavg()[0], 1)
