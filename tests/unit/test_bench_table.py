"""The table at the end of `make bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import table
from benchmarks.record import record
from benchmarks.table import BENCHMARKS, Benchmark, Figure


def test_figures_are_held_against_what_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (
        Figure("net.ratio", at_least=4.0),
        Figure("net.gap", at_most=0.3),
        Figure("net.lost", at_least=1),
        Figure("net.loss"),
    )
    monkeypatch.setattr(table, "BENCHMARKS", (Benchmark("one", asked), Benchmark("never run", asked)))
    record(tmp_path / "one.json", {"net": {"ratio": 3.9, "gap": -0.2, "loss": 2}})
    lines = [line.split()[1:] for line in table.table(tmp_path).splitlines()[2:]]
    today = json.loads((tmp_path / "one.json").read_text())["measured"]["date"]
    assert lines == [
        ["net.ratio", "3.9", ">=", "4", "NO", today],
        ["net.gap", "-0.2", "<=", "0.3", "yes", today],
        ["net.lost", "missing", ">=", "1", "NO", today],
        ["net.loss", "2", today],
    ]


def test_a_processor_without_bf16_is_asked_for_less() -> None:
    figure = Figure("ratio", at_least=4.0, without_bf16=2.2)
    assert (figure.asked(bf16=True), figure.asked(bf16=False)) == (4.0, 2.2)


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_every_benchmark_is_a_module(benchmark: Benchmark) -> None:
    assert (Path(table.__file__).parent / f"{benchmark.name}.py").exists()
