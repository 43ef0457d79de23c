"""How long from a POST of a job to the first message of the process that does it? Through the whole service, warm.

    python -m benchmarks.submit_to_running --jobs 500

Leaves out/bench/submit_to_running.json: percentiles in milliseconds of the times from just before the POST to the row
of the child's first message, and of their parts: until the job's row, the claim, and the first message. One job at a
time; all clocks are this machine's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.record import FOLDER, record
from local.home import Home
from local.service import Service
from sieve import Client
from store.database import Database
from store.jobs import read
from store.tables import Event

JOB = {
    "kind": "train",
    "dataset": {"name": "digits", "limit_train": 130},
    "architecture": {"name": "convnet", "options": {"widths": [4]}},
    "epochs": 1,
}


def one(client: Client, database: Database) -> dict[str, float]:
    """Milliseconds of one job."""
    posted = time.time()
    job = client.submit(JOB)
    job.wait()
    with database.transaction() as session:
        events = read.events(session, job.id)
    at = {"row": _first(events, "queued"), "claim": _first(events, "running"), "first message": _first(events, None)}
    marks = [posted, *at.values()]
    parts = {name: after - before for name, before, after in zip(at, marks, marks[1:], strict=False)}
    return {name: 1000 * seconds for name, seconds in {**parts, "all": marks[-1] - posted}.items()}


def _first(events: list[Event], state: str | None) -> float:
    """When a state was reached first, or the child spoke first."""
    return next(
        event.at.timestamp()
        for event in events
        if (event.data.get("to") == state if state else event.type == "started")
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--out", type=Path, default=FOLDER / "submit_to_running.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sieve-bench-") as name:
        Path(name).chmod(0o711)
        with Home(Path(name) / "home") as home, Service(home) as service, Client(service.url, service.key) as client:
            database = Database(service.postgres.url())
            for _ in range(20):
                one(client, database)
            times = [one(client, database) for _ in range(asked.jobs)]
            database.dispose()
    figures: dict[str, object] = {"n": len(times)}
    for part in times[0]:
        cuts = statistics.quantiles([one[part] for one in times], n=100)
        figures[part] = {"p50": round(cuts[49], 1), "p90": round(cuts[89], 1), "p99": round(cuts[98], 1)}
    record(asked.out, figures, packages=("celery", "torch"))


if __name__ == "__main__":
    main()
