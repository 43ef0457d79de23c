"""How long from a POST of a job to the first message of the process that does it? Through the whole service, warm.

    python -m benchmarks.latency --jobs 500

Leaves out/bench/latency.json: percentiles in milliseconds of the times from just before the POST to the row
of the child's first message, and of their parts: until the job's row, the claim, and the first message. One job at a
time; all clocks are this machine's. Beside it, as the floor: from sending a bare Celery task to its first line, through
the same Redis.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import celery
import redis

from benchmarks.record import FOLDER, record
from local.home import Home
from local.redis import Redis
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


def bare_celery(count: int) -> list[float]:
    """Milliseconds from sending a task to its first line, one task at a time."""
    with tempfile.TemporaryDirectory(prefix="sieve-bench-") as name:
        server = Redis(log=Path(name) / "log")
        server.start()
        environment = os.environ | {"REDIS_URL": server.url}
        command = [sys.executable, "-m", "celery", "--app", "benchmarks.bare_celery", "worker", "--pool", "solo"]
        worker = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        try:
            sender = celery.Celery("bare", broker=server.url)
            begun = redis.Redis.from_url(server.url.replace("redis+socket:", "unix:"))
            times = []
            for _ in range(20 + count):
                sent = time.time()
                sender.send_task("benchmarks.bare_celery.note", ignore_result=True)
                told = begun.blpop(["begun"], timeout=60)
                assert told is not None, "Celery did nothing for a minute"
                times.append(1000 * (float(told[1]) - sent))
            return times[20:]
        finally:
            worker.kill()
            worker.wait()
            server.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--out", type=Path, default=FOLDER / "latency.json")
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
        figures[part] = _percentiles([one[part] for one in times])
    figures["bare_celery"] = _percentiles(bare_celery(asked.jobs))
    record(asked.out, figures, packages=("celery", "torch"))


def _percentiles(milliseconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(milliseconds, n=100)
    return {"p50": round(cuts[49], 1), "p90": round(cuts[89], 1), "p99": round(cuts[98], 1)}


if __name__ == "__main__":
    main()
