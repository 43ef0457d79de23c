"""A whole study in this process, one job after the other, without any service.

    OMP_NUM_THREADS=1 python -m benchmarks.study_in_process --preset digits --seed 0 --out out/study

Prints one JSON object: the table in percent, what the constructions gave, how the sources read them, seconds a job.
Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from core.context import Inputs, MemoryContext, StoredDataset
from core.run import execute
from core.studies import main_study
from sieve.specs import StudySpec


def run_study(spec: StudySpec, folder: Path) -> tuple[dict[str, Mapping[str, Any]], dict[str, float]]:
    """Run every job of a study, the report included.

    Each leaves its files in `folder`/<name of the job>.

    Returns:
        Figures and seconds, by name of the job.
    """
    datasets: dict[str, StoredDataset] = {}
    models: dict[str, Path] = {}
    figures: dict[str, Mapping[str, Any]] = {}
    seconds: dict[str, float] = {}
    for node in main_study(spec):
        reference = "@" + node.name
        context = MemoryContext(folder / node.name.replace("/", "-"), data_folder=folder)
        began = time.monotonic()
        result = execute(node.spec, Inputs(datasets, models, figures), context)
        seconds[node.name] = round(time.monotonic() - began, 2)
        figures[reference] = result.figures
        for output in result.outputs:
            if output.role == "dataset":
                datasets[reference] = StoredDataset(output.path)
            elif output.role == "model":
                models[reference] = output.path
        print(f"{node.name:28s} {seconds[node.name]:7.2f} s", file=sys.stderr, flush=True)
    return {name.removeprefix("@"): found for name, found in figures.items()}, seconds


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="digits")
    parser.add_argument("--seed", type=int, action="append", help="may be given several times; 0 when absent")
    parser.add_argument("--out", type=Path, required=True, help="folder for all files")
    options = parser.parse_args()
    seeds = options.seed or [0]
    figures, seconds = run_study(StudySpec.model_validate({"preset": options.preset, "seeds": seeds}), options.out)
    report = figures["report"]
    shown = {
        "preset": options.preset,
        "seeds": seeds,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "rows": [{key: row[key] for key in ("name", "standard", "shifted", "robust")} for row in report["rows"]],
        "constructions": [
            {key: value for key, value in made.items() if key not in ("histograms", "histograms_of_seed", "per_seed")}
            for made in report["constructions"]
        ],
        "readings": report["readings"],
        "seconds": seconds,
        "total_seconds": round(sum(seconds.values()), 2),
    }
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
