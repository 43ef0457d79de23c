"""A whole study in this process, one job after the other, without any service.

    OMP_NUM_THREADS=1 python -m benchmarks.study_in_process --preset digits --seed 0 --out out/study
    OMP_NUM_THREADS=1 python -m benchmarks.study_in_process --kind transfer --preset planted --out out/transfer
    OMP_NUM_THREADS=1 python -m benchmarks.study_in_process --spec spec.yaml --folder cifar=FOLDER --out out/transfer

Of the main study prints one JSON object: the table in percent, what the constructions gave, how the sources read them,
seconds a job; of a follow-up its report as Markdown, which lies in OUT/report with the page. Progress goes to stderr. A
job of an earlier run with the same spec and OUT is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from core.cards import KINDS
from core.context import Context, FolderDataset, Inputs, MemoryContext, StoredDataset
from core.planning import parse
from core.run import execute
from sieve.specs import Spec


def run_study(
    spec: Spec,
    folder: Path,
    folders: Mapping[str, Path] | None = None,
    context: Callable[[Path], Context] | None = None,
    heard: Callable[[str, Mapping[str, Any]], None] = lambda *_: None,
) -> tuple[dict[str, Mapping[str, Any]], dict[str, float]]:
    """Run every job of a study, the report included.

    Each leaves its files in `folder`/<name of the job>; a job whose figures lie there already is not done again.

    Args:
        spec: of a kind that expands.
        folder: for all files.
        folders: image folders by the name that the spec gives them.
        context: what a job runs with, from the folder for its files; alone and in memory where it is not given.
        heard: is told the name of each finished job, and its spec, figures and seconds.

    Returns:
        Figures and seconds, by name of the job.
    """
    datasets: dict[str, StoredDataset | FolderDataset] = {
        name: FolderDataset(path) for name, path in (folders or {}).items()
    }
    models: dict[str, Path] = {}
    figures: dict[str, Mapping[str, Any]] = {}
    seconds: dict[str, float] = {}
    context = context or partial(MemoryContext, data_folder=folder)
    expand = KINDS.get(str(spec.kind)).expand  # type: ignore[attr-defined]
    assert expand is not None
    for node in expand(spec):
        reference = "@" + node.name
        place = folder / node.name.replace("/", "-")
        kept = place / "figures.json"
        asked = node.spec.model_dump_json()
        if kept.exists() and (before := json.loads(kept.read_text()))["spec"] == asked:
            found, outputs, seconds[node.name] = before["figures"], before["outputs"], before["seconds"]
        else:
            began = time.monotonic()
            result = execute(node.spec, Inputs(datasets, models, figures), context(place))
            seconds[node.name] = round(time.monotonic() - began, 2)
            found = result.figures
            outputs = {output.role: str(output.path) for output in result.outputs}
            values = {"spec": asked, "figures": found, "outputs": outputs, "seconds": seconds[node.name]}
            kept.write_text(json.dumps(values))
        figures[reference] = found
        if "dataset" in outputs:
            datasets[reference] = StoredDataset(Path(outputs["dataset"]))
        if "model" in outputs:
            models[reference] = Path(outputs["model"])
        heard(node.name, {"spec": asked, "figures": found, "seconds": seconds[node.name]})
        print(f"{node.name:28s} {seconds[node.name]:7.2f} s", file=sys.stderr, flush=True)
    return {name.removeprefix("@"): found for name, found in figures.items()}, seconds


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="study", help="study, or a follow-up such as transfer")
    parser.add_argument("--preset", default="digits")
    parser.add_argument("--spec", type=Path, help="a YAML file instead of kind and preset")
    parser.add_argument("--folder", action="append", default=[], metavar="NAME=PATH", help="an image folder by name")
    parser.add_argument("--seed", type=int, action="append", help="may be given several times; 0 when absent")
    parser.add_argument("--out", type=Path, required=True, help="folder for all files")
    options = parser.parse_args()
    values = (
        yaml.safe_load(options.spec.read_text()) if options.spec else {"kind": options.kind, "preset": options.preset}
    )
    if options.seed or values["kind"] == "study":
        values["seeds"] = options.seed or [0]
    folders = {name: Path(path) for name, _, path in (given.partition("=") for given in options.folder)}
    figures, seconds = run_study(parse(values), options.out, folders)
    report = figures["report"]
    if values["kind"] != "study":
        print((options.out / "report" / "report.md").read_text())
        print(f"{sum(seconds.values()):.0f} s of jobs, {torch.get_num_threads()} threads, torch {torch.__version__}")
        return
    shown = {
        "preset": options.preset,
        "seeds": values["seeds"],
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
