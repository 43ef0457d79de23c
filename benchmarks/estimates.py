"""How near to the truth are the estimates of a dry run? Twenty varied jobs, each estimated first and then run.

    OMP_NUM_THREADS=1 python -m benchmarks.estimates --out out/bench/estimates.json

Through the whole service, on an empty data folder, one job at a time. A dry run before each job gives the estimate,
with whatever the jobs before it have taught; `actual` is from the job's start to its end by the database's clock.
`ratio` is actual / estimate; an error of 0.25 means that one is 1.25 times the other. `uncorrected` is what the same
errors would be by the measured rates alone, without past jobs. `measuring` is how long each dry run waited for a
network to be measured.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import FOLDER, record
from benchmarks.turns import load
from core.estimate import by_rates
from core.work import Work
from local.home import Home
from local.service import Service
from sieve import Client
from store import estimates, tables
from store.database import Database

Spec = dict[str, Any]

DIGITS = {"name": "convnet", "options": {"widths": [8, 16, 32], "strides": [1, 2, 1]}}
PLANTED = {"name": "convnet", "options": {"widths": [16, 32, 32, 64], "strides": [1, 2, 2, 1]}}
RESNET = {"name": "resnet", "options": {"depth": 10, "width": 16}}
LARGE = {"name": "digits", "options": {"size": 32}}


def _train(dataset: Any, architecture: Spec, epochs: int, **fields: Any) -> Spec:
    return {"kind": "train", "dataset": dataset, "architecture": architecture, "epochs": epochs, **fields}


def _make(method: str, dataset: Any, model: str, steps: int, **fields: Any) -> Spec:
    construction = {"method": method, "steps": steps}
    return {"kind": "synthesize", "construction": construction, "dataset": dataset, "model": model, **fields}


def _judge(dataset: Any, model: str, epsilons: Sequence[float], **fields: Any) -> Spec:
    threats = [{"norm": "l2", "epsilons": epsilons}]
    return {"kind": "evaluate", "dataset": dataset, "model": model, "threats": threats, **fields}


def _pgd(epsilon: float, steps: int = 7) -> Spec:
    return {"norm": "l2", "epsilon": epsilon, "steps": steps}


JOBS: dict[str, Spec] = {
    "digits": _train("digits", DIGITS, 40),
    "planted": _train("planted", PLANTED, 8),
    "resnet": _train({**LARGE, "limit_train": 700}, RESNET, 2),
    "digits: random target": _make("random_target", "digits", "@digits", 100),
    "digits: evaluate": _judge("digits", "@digits", [0.25, 0.5, 1.0]),
    "digits, attacked": _train("digits", DIGITS, 30, adversary=_pgd(1.0)),
    "planted, attacked, fast": _train("planted", PLANTED, 4, adversary=_pgd(1.0), precision="fast", batch_size=128),
    "resnet 20": _train(
        {"name": "digits", "options": {"size": 16}},
        {"name": "resnet", "options": {"blocks": [3, 3, 3], "width": 8}},
        3,
        batch_size=100,
    ),
    "digits: D_NR": _make("robust", "digits", "@digits", 300),
    "digits: D_R": _make("robust", "digits", "@digits, attacked", 150),
    "planted: evaluate": _judge("planted", "@planted", [0.1, 0.25]),
    "planted, attacked: evaluate, fast": _judge(
        {"name": "planted", "limit_test": 500}, "@planted, attacked, fast", [0.25, 0.5], precision="fast"
    ),
    "digits at 16x16": _train(
        {"name": "digits", "options": {"size": 16}},
        {"name": "convnet", "options": {"widths": [16, 32, 64]}},
        10,
        batch_size=128,
        crop_padding=2,
    ),
    "planted: deterministic target, fast": _make("deterministic_target", "planted", "@planted", 60, precision="fast"),
    "planted: D_R": _make("robust", {"name": "planted", "limit_train": 1500}, "@planted, attacked, fast", 200),
    "resnet: random target": _make("random_target", {**LARGE, "limit_train": 300}, "@resnet", 20),
    "resnet: evaluate": _judge(
        {**LARGE, "limit_test": 150},
        "@resnet",
        [0.5],
        attacks=[{"name": "pgd", "options": {"steps": 20, "restarts": 2}}],
    ),
    "digits, attacked: evaluate": _judge("digits", "@digits, attacked", [0.5, 1.0]),
    "resnet, attacked, fast": _train(
        {**LARGE, "limit_train": 400}, RESNET, 2, adversary=_pgd(2.0), precision="fast", flip=True
    ),
    "digits, many epochs": _train("digits", DIGITS, 150, batch_size=256),
}
"""By name; `@name` is the job of that name."""


class Desk:
    """Submits, and looks at what the service does not show."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client, self._database = client, database
        self._ids: dict[str, str] = {}

    def one(self, name: str, spec: Spec) -> dict[str, Any]:
        """Estimate a job, run it, compare."""
        model = spec.get("model", "")
        spec = spec | ({"model": self._ids[model[1:]]} if model else {})
        began = time.monotonic()
        plan = self._client.plan(spec, wait=300)
        waited = time.monotonic() - began
        estimate = plan["jobs"][0]["estimate"]
        if estimate["seconds"] is None:
            sys.exit(f"{name}: {estimate['missing']}")
        job = self._client.submit(spec, name=name[:200]).wait()
        if job.state != "succeeded" or job.started_at is None or job.finished_at is None:
            sys.exit(f"{name}: {job.state}: {job.status_reason}")
        self._ids[name] = job.id
        actual = (job.finished_at - job.started_at).total_seconds()
        plain, memory = self._plain_and_memory(job.id)
        expected, size = estimate["seconds"], estimate["memory_bytes"]
        found = {
            "job": name,
            "seconds": {key: round(value, 2) for key, value in expected.items()},
            "actual": round(actual, 2),
            "ratio": round(actual / expected["value"], 3),
            "within": expected["low"] <= actual <= expected["high"],
            "ratio_uncorrected": round(actual / plain, 3),
            "past_jobs": estimate["past_jobs"],
            "memory_mib": {key: round(value / 2**20) for key, value in size.items()},
            "memory_actual_mib": round(memory / 2**20),
            "memory_ratio": round(memory / size["value"], 3),
            "measuring": round(waited, 1),
        }
        print(f"{name:40s} {expected['value']:8.2f} {actual:8.2f}  {found['ratio']}", file=sys.stderr, flush=True)
        return found

    def _plain_and_memory(self, job_id: str) -> tuple[float, float]:
        """Seconds by the rates alone, and bytes that were taken."""
        with self._database.transaction() as session:
            row = session.get_one(tables.Job, job_id)
            assert row.taken is not None
            work = Work.model_validate(row.work)
            assert work.network is not None
            place = estimates.place_of(session)
            assert place is not None
            rates, _ = estimates.rates_of(session, place, {work.network.key})
            return by_rates(work, rates[work.network.key]).seconds, row.taken["memory"]


def errors(ratios: Sequence[float]) -> dict[str, float]:
    """How far from 1, either way."""
    found = sorted(max(ratio, 1 / ratio) - 1 for ratio in ratios)
    return {"median": round(statistics.median(found), 3), "p90": round(found[int(0.9 * len(found))], 3)}


def main() -> None:
    """Estimate, run, compare, write."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "estimates.json")
    parser.add_argument("--jobs", type=int, default=len(JOBS), help="only the first so many")
    asked = parser.parse_args()
    before = load()
    with tempfile.TemporaryDirectory(prefix="sieve-bench-") as name:
        Path(name).chmod(0o711)
        with Home(Path(name) / "home") as home, Service(home) as service, Client(service.url, service.key) as client:
            database = Database(service.postgres.url())
            desk = Desk(client, database)
            jobs = [desk.one(*job) for job in list(JOBS.items())[: asked.jobs]]
            database.dispose()
    learnt = [job for job in jobs if job["past_jobs"]]
    record(
        asked.out,
        {
            "n": len(jobs),
            "error": errors([job["ratio"] for job in jobs]),
            "error_uncorrected": errors([job["ratio_uncorrected"] for job in jobs]),
            "error_with_past_jobs": {"n": len(learnt)} | (errors([job["ratio"] for job in learnt]) if learnt else {}),
            "within_range": sum(job["within"] for job in jobs),
            "memory_error": errors([job["memory_ratio"] for job in jobs]),
            "load_before": before,
            "jobs": jobs,
        },
    )


if __name__ == "__main__":
    main()
