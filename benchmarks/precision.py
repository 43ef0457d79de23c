"""Does it matter where a study searches in reduced precision? One kind of job after the other is made `fast`.

    OMP_NUM_THREADS=1 python -m benchmarks.precision --preset digits --seed 0 --seed 1 --cache out/precision
    OMP_NUM_THREADS=1 python -m benchmarks.precision --study study.yaml --folder cifar10-jpeg=PATH --cache out/precision

Every seed runs the study with all jobs `exact`, and then, sharing what does not change,

    train        with D_adv trained against a fast adversary: D_adv itself, and D_R, which is made from it;
    synthesize   with the four constructions fast, from the same sources: the models that are trained on them;
    evaluate     with the same models judged by fast attacks.

Prints one JSON object: for each variation, row and figure the difference to `exact` in points, its mean over seeds, its
standard error, and the seconds of the jobs that differ. Finished jobs are kept in the cache and not repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.record import FOLDER, record
from core.context import FolderDataset, Inputs, MemoryContext, StoredDataset
from core.references import references
from core.run import execute
from core.studies import CONSTRUCTED, ROWS, main_study
from sieve.specs import Spec, StudySpec

VARIATIONS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "train": (("train/D_adv",), ("D_adv", "D_R")),
    "synthesize": (tuple(f"synthesize/{row}" for row in CONSTRUCTED), CONSTRUCTED),
    "evaluate": (tuple(f"evaluate/{row}" for row in ROWS), ("D", "D_adv", *CONSTRUCTED)),
}
"""The jobs that are made fast, and the rows that may change by it."""


@dataclass(frozen=True)
class Done:
    """A finished job."""

    key: str
    """Names all that went into it."""
    file: Path
    figures: Mapping[str, Any]


class Runs:
    """Jobs of studies with this or that job fast; each is run once."""

    def __init__(self, study: StudySpec, folders: Mapping[str, Path], cache: Path) -> None:
        self._nodes: dict[str, Spec] = {"@" + node.name: node.spec for node in main_study(study)}
        self._folders = {name: FolderDataset(path) for name, path in folders.items()}
        self._cache = cache

    def done(self, name: str, fast: Sequence[str]) -> Done:
        """The job `name` (seed/role/row) of the study in which the jobs of `fast` are fast and all others exact."""
        node = self._nodes["@" + name]
        spec = node.model_copy(update={"precision": "fast" if name in fast else "exact"})
        needed = {ref.name: self.done(ref.name[1:], fast) for _, ref in references(spec) if ref.name in self._nodes}
        written = json.dumps([spec.model_dump(mode="json"), {ref: made.key for ref, made in needed.items()}])
        key = hashlib.sha256(written.encode()).hexdigest()[:20]
        folder = self._cache / key
        if not (folder / "figures.json").exists():
            datasets = {ref: StoredDataset(made.file) for ref, made in needed.items()}
            models = {ref: made.file for ref, made in needed.items()}
            inputs = Inputs({**datasets, **self._folders}, models)
            result = execute(spec, inputs, MemoryContext(folder, data_folder=self._cache))
            print(f"{name:28s} {spec.precision:6s} {result.figures['seconds']:7.1f} s", file=sys.stderr, flush=True)  # type: ignore[attr-defined]
            (folder / "figures.json").write_text(json.dumps(result.figures))
            result.outputs[0].path.rename(folder / "output")
        return Done(key, folder / "output", json.loads((folder / "figures.json").read_text()))


def compared(runs: Runs, seeds: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each variation beside `exact`."""
    for variation, (jobs, rows) in VARIATIONS.items():
        found: dict[str, Any] = {}
        for row in rows:
            pairs = []
            for seed in seeds:
                fast = [f"{seed}/{job}" for job in jobs]
                pairs.append([accuracies(runs.done(f"{seed}/evaluate/{row}", names).figures) for names in ([], fast)])
            found[row] = {
                figure: difference([[one[figure] for one in pair] for pair in pairs]) for figure in pairs[0][0]
            }
        seconds = {
            precision: sum(
                runs.done(f"{seed}/{job}", [f"{seed}/{job}" for job in jobs] if precision == "fast" else []).figures[
                    "seconds"
                ]
                for seed in seeds
                for job in jobs
                if job.partition("/")[2] in rows
            )
            for precision in ("exact", "fast")
        }
        yield variation, {"rows": found, "seconds": {name: round(value, 1) for name, value in seconds.items()}}


def accuracies(figures: Mapping[str, Any]) -> dict[str, float]:
    """In percent: standard, and robust by epsilon."""
    robust = {f"{norm} {epsilon}": left for norm, held in figures["robust"].items() for epsilon, left in held.items()}
    return {"standard": 100 * figures["standard"], **{name: 100 * left for name, left in robust.items()}}


def difference(pairs: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Of pairs (exact, fast), one a seed."""
    differences = [fast - exact for exact, fast in pairs]
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else None
    return {
        "exact": [round(exact, 2) for exact, _ in pairs],
        "fast": [round(fast, 2) for _, fast in pairs],
        "mean": round(statistics.fmean(differences), 2),
        "standard_error": None if error is None else round(error, 2),
    }


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--preset")
    what.add_argument("--study", type=Path, help="a study's spec, as YAML or JSON")
    parser.add_argument("--folder", action="append", default=[], help="NAME=PATH: an image folder that the study names")
    parser.add_argument("--seed", type=int, action="append", help="may be given several times; 0 when absent")
    parser.add_argument("--cache", type=Path, required=True, help="keeps what is finished")
    parser.add_argument("--out", type=Path, default=FOLDER / "precision.json")
    options = parser.parse_args()
    values = {"preset": options.preset} if options.preset else yaml.safe_load(options.study.read_text())
    seeds = options.seed or [0]
    study = StudySpec.model_validate(values | {"seeds": seeds})
    folders = {name: Path(path) for name, _, path in (given.partition("=") for given in options.folder)}
    runs = Runs(study, folders, options.cache)
    figures = {
        "dataset": study.dataset.model_dump(mode="json"),
        "architecture": study.architecture.model_dump(mode="json"),
        "seeds": seeds,
        **dict(compared(runs, seeds)),
    }
    record(options.out, figures)


if __name__ == "__main__":
    main()
