"""What a drill is, what it has found so far, and the line that says so."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.working import ROOT

if TYPE_CHECKING:
    from tests.drills.stage import Stage

OUT = ROOT / "out" / "drills"
SLACK = 3


@dataclass
class Trial:
    """One trial, or a few that were audited together."""

    n: int = 1
    found: list[str] = field(default_factory=list)
    """What did not hold; empty where all did."""
    measured: dict[str, Any] = field(default_factory=dict)
    """Numbers (or lists of them), whose spread is shown, and words, which are counted."""


@dataclass(frozen=True)
class Drill:
    """One way to hurt the service."""

    name: str
    holds: str
    """What must hold, and how it is tried: a row of the table."""
    full: int
    """n of the full drill."""
    short: int
    """n in CI."""
    run: Callable[[Stage, int], Iterator[Trial]]
    """Trials, one after another: as many as asked for, less those that were in vain."""
    without: tuple[str, ...] = ()
    """Patches (see `entry.py`) that switch the protection off."""
    limits: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Of something measured, `p50`, `p99` or `max` may be at most this. In the short form three times as much: others
    use the machine too."""
    shares: bool = False
    """Does it use the shared worker (`stage.at_work`)? The short form holds all of these one after another."""
    seconds: float = 20
    """About how long the short form takes."""


class Record:
    """A drill's trials in a file, which grows. A line that a kill cut short is passed over."""

    def __init__(self, name: str, *, off: bool, short: bool) -> None:
        self.path = OUT / ("short" if short else "") / ("off" if off else "") / f"{name}.jsonl"

    def rows(self) -> list[dict[str, Any]]:
        """Trials as they were written: with the time of their end, their seconds and the commit."""
        rows = []
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
        return rows

    def read(self) -> list[Trial]:
        return [Trial(row["n"], row["found"], row["measured"]) for row in self.rows()]

    def add(self, trial: Trial, commit: str, seconds: float) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        row = json.dumps({"at": at, "seconds": round(seconds, 2), "commit": commit, **asdict(trial)})
        with self.path.open("a") as file:
            file.write(row.replace(f"{ROOT}/", "") + "\n")  # records are shown elsewhere

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def line(drill: Drill, trials: list[Trial], *, off: bool, short: bool = False) -> dict[str, Any]:
    """What is printed of a drill."""
    figure = {name: spread(values) for name, values in _collected(trials).items()}
    found = [one for trial in trials for one in trial.found]
    for name, (which, limit) in drill.limits.items():
        allowed = limit * (SLACK if short else 1)
        if name in figure and figure[name][which] > allowed:
            found.append(f"{name}: {which} is {figure[name][which]}, allowed are {allowed:g}")
    said: dict[str, Any] = {"drill": drill.name, "n": sum(trial.n for trial in trials), "held": not found}
    if off:
        said["protection"] = "off"
    said["figure"] = figure
    if found:
        said["found"] = found[:5]
    return said


def on_record(drill: Drill, *, off: bool) -> dict[str, Any] | None:
    """The line of all trials on record, with their days, commits and seconds; None where there are none."""
    record = Record(drill.name, off=off, short=False)
    rows = record.rows()
    if not rows:
        return None
    return line(drill, record.read(), off=off) | {
        "days": sorted({row["at"][:10] for row in rows}),
        "commits": sorted({row["commit"] for row in rows}),
        "seconds": round(sum(row["seconds"] for row in rows)),
    }


def spread(values: list[Any]) -> dict[str, Any]:
    """p50, p99 and the most of numbers; how often of words."""
    if not all(isinstance(value, int | float) for value in values):
        return dict(sorted(Counter(map(str, values)).items()))
    ordered = sorted(values)
    rank = {"p50": 0.5, "p99": 0.99}
    shown = {name: ordered[math.ceil(share * len(ordered)) - 1] for name, share in rank.items()}
    return {name: round(value, 3) for name, value in {**shown, "max": ordered[-1]}.items()}


def commit() -> str:
    """The commit that is checked out, `+` where files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def _collected(trials: list[Trial]) -> dict[str, list[Any]]:
    collected: dict[str, list[Any]] = {}
    for trial in trials:
        for name, value in trial.measured.items():
            collected.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    return {name: values for name, values in collected.items() if values}
