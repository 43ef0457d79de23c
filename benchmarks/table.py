"""The benchmarks that `make bench` runs, and the figures of theirs that it shows. Torch-free.

To add one: a module that writes its JSON with `benchmarks.record.record` to the path of its option `--out`, and an
entry in `BENCHMARKS`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PEERS = Path(".venv-peers/bin/python")
"""The environment with the libraries that we are measured against; see `make bench`."""


@dataclass(frozen=True)
class Figure:
    """A number in a benchmark's JSON."""

    path: str
    """Keys with dots between them."""
    at_least: float | None = None
    at_most: float | None = None
    """In size: its sign does not count."""
    without_bf16: float | None = None
    """What is asked instead of `at_least` of a processor that has no bfloat16 instructions."""

    def of(self, found: Any) -> float | None:
        """The number; None where the file does not have it."""
        for key in self.path.split("."):
            if not isinstance(found, dict) or key not in found:
                return None
            found = found[key]
        return None if found is None else float(found)

    def asked(self, bf16: bool) -> float | None:
        """The lower bound on a processor with bfloat16 instructions, or without."""
        return self.at_least if bf16 or self.without_bf16 is None else self.without_bf16


@dataclass(frozen=True)
class Benchmark:
    """A module of this package."""

    name: str
    """Of the module, and of the file that it writes."""
    figures: tuple[Figure, ...]
    options: tuple[str, ...] = ()
    beside_peers: bool = False
    """Runs in the environment `PEERS`."""
    takes_images: bool = False
    """Has the option `--images FOLDER`: an image folder to measure on, instead of planted images."""


BENCHMARKS = (
    Benchmark(
        "attacks",
        (
            Figure("small.ratio", at_least=4.0, without_bf16=2.2),
            Figure("small.ratio_uncompiled", at_least=3.4, without_bf16=2.2),
            Figure("small.strength_gap", at_most=0.3),
            Figure("small.loss_gap"),
            Figure("resnet18.ratio", at_least=2.5, without_bf16=1.4),
            Figure("resnet18.ratio_uncompiled"),
            Figure("resnet18.strength_gap", at_most=0.3),
            Figure("resnet18.loss_gap"),
        ),
        beside_peers=True,
        takes_images=True,
    ),
    Benchmark(
        "adversarial_training",
        (Figure("ratio", at_least=2.5), Figure("accuracy_gap", at_most=1)),
        beside_peers=True,
        takes_images=True,
    ),
    Benchmark(
        "evaluation",
        (Figure("largest_gap"), Figure("least_faster"), Figure("held", at_least=1)),
        beside_peers=True,
        takes_images=True,
    ),
    Benchmark("profile", (Figure("small.of_rate"), Figure("resnet18.of_rate"))),
    Benchmark("forms", ()),
    Benchmark("batches", ()),
    Benchmark(
        "feature_matching",
        (Figure("speedup", at_least=5), Figure("accuracy_gap", at_most=2), Figure("images.speedup.median")),
        takes_images=True,
    ),
    Benchmark("latency", (Figure("all.p50", at_most=100), Figure("all.p99", at_most=500), Figure("bare_celery.p50"))),
    Benchmark(
        "claims",
        (
            Figure("ours.a_second", at_least=1000),
            Figure("ours.p99_ms", at_most=25),
            Figure("ours.double", at_most=0),
            Figure("procrastinate.a_second"),
        ),
    ),
    Benchmark("reads", (Figure("worst.p99", at_most=20),)),
    Benchmark("estimates", (Figure("error.median"), Figure("error.p90"), Figure("memory_error.median"))),
)
"""In the order in which they run."""


def table(folder: Path) -> str:
    """Every figure that lies in the folder, against what is asked of it."""
    rows = [("benchmark", "figure", "value", "asked", "held", "date")]
    for benchmark in BENCHMARKS:
        path = folder / f"{benchmark.name}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        measured = found["measured"]
        for figure in benchmark.figures:
            rows.append((benchmark.name, figure.path, *_judged(figure, found, measured["bf16"]), measured["date"]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _judged(figure: Figure, found: Any, bf16: bool) -> tuple[str, str, str]:
    """Its value, what is asked, and whether that holds."""
    value, least = figure.of(found), figure.asked(bf16)
    if least is not None:
        asked, held = f">= {least:g}", value is not None and value >= least
    elif figure.at_most is not None:
        asked, held = f"<= {figure.at_most:g}", value is not None and abs(value) <= figure.at_most
    else:
        return "missing" if value is None else f"{value:g}", "", ""
    return "missing" if value is None else f"{value:g}", asked, "yes" if held else "NO"
