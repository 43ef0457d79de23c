"""How many claims a second does the queue give? 100,000 jobs of 50 owners, priorities and limits on, 8 claimers.

    python -m benchmarks.claims --out out/bench/claims.json

A PostgreSQL of its own, with fsync, synchronous_commit and full_page_writes on. Each claimer is a process with one
connection, which claims, each claim committed, and ends nothing. A third of the owners may run few jobs: claims pass
them by once they do. Where there is an environment with the peers (`make bench`), procrastinate takes as many jobs from
the same server, with as many claimers; who comes first takes turns between rounds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.record import FOLDER, record
from benchmarks.table import PEERS
from local.migrations import migrate
from local.postgres import Postgres
from store.database import Database
from store.jobs.claim import claim

OWNERS = 50
MAX_RUNNING = 100
"""Of every third owner."""

_FILL = """
    insert into users (id, name, role) select 'usr_' || n, 'user' || n, 'member' from generate_series(1, :owners) n;
    insert into accounts (user_id, usage, max_running)
    select 'usr_' || n, 3600 * n, case when n % 3 = 0 then cast(:max_running as int) end
    from generate_series(1, :owners) n;
    insert into jobs (id, kind, owner_id, spec, slot, state, priority, queued_at)
    select 'job_' || lpad(n::text, 10, '0'), 'train', 'usr_' || (1 + n % :owners),
           '{"kind": "train", "dataset": {"name": "digits"}, "architecture": {"name": "convnet"}}', 'accelerator',
           'queued', (array[1, -1, -1, 0, 0, 0, 0, 0, 0, 0])[1 + n / :owners % 10], now() - n * interval '1 second'
    from generate_series(1, :jobs) n;
"""


def _claimer(url: str, start: Any, claims: int, answers: Any) -> None:
    """Claim so many; say when that began and ended, how long each took, and what was claimed."""
    database = Database(url, pool_size=1)
    with database.transaction() as session:
        session.execute(text("select 1"))
    start.wait()
    times, taken = [], []
    began = time.monotonic()
    for _ in range(claims):
        before = time.perf_counter()
        with database.transaction() as session:
            got = claim(session, worker_id="wrk_bench", takes=("cpu", "accelerator"), lease_seconds=3600)
        times.append(time.perf_counter() - before)
        assert got is not None
        taken.append(got.job_id)
    answers.put((began, time.monotonic(), times, taken))
    database.dispose()


def ours(server: Postgres, name: str, jobs: int, claimers: int, claims: int) -> dict[str, Any]:
    """A round of this project's, on a database of its own."""
    database = _fresh(server, name)
    with database.transaction() as session:
        for statement in _FILL.strip().rstrip(";").split(";"):
            values = {"owners": OWNERS, "jobs": jobs, "max_running": MAX_RUNNING}
            session.execute(text(statement), {key: value for key, value in values.items() if f":{key}" in statement})
    _settle(database)
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(claimers), context.Queue()
    workers = [
        context.Process(target=_claimer, daemon=True, args=(server.url(name), start, claims // claimers, answers))
        for _ in range(claimers)
    ]
    for worker in workers:
        worker.start()
    told = [answers.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    found = _figures(told)
    with database.transaction() as session:
        found["overshot"] = session.execute(
            text(
                "select count(*) from accounts where running > max_running or running <> "
                "(select count(*) from jobs where owner_id = user_id and state = 'running')"
            )
        ).scalar_one()
    database.dispose()
    return found


def procrastinate(server: Postgres, name: str, jobs: int, claimers: int, claims: int) -> dict[str, Any]:
    """A round of procrastinate's, in the environment of the peers, on a database of its own."""
    _create(server, name)
    module = str(Path(__file__).parent / "peers" / "procrastinate_claims.py")
    conninfo = f"host={server.sockets} user=sieve dbname={name}"
    given = [str(number) for number in (OWNERS, jobs, claimers, claims)]
    done = subprocess.run([str(PEERS), module, conninfo, *given], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return _figures(json.loads(done.stdout))


def _figures(told: list[Any]) -> dict[str, Any]:
    times = [1000 * seconds for _, _, spent, _ in told for seconds in spent]
    taken = [id for *_, ids in told for id in ids]
    wall = max(ended for _, ended, *_ in told) - min(began for began, *_ in told)
    cuts = statistics.quantiles(times, n=100)
    return {
        "claims": len(taken),
        "a_second": round(len(taken) / wall),
        "p50_ms": round(cuts[49], 2),
        "p99_ms": round(cuts[98], 2),
        "longest_ms": round(max(times), 1),
        "double": len(taken) - len(set(taken)),
    }


def _create(server: Postgres, name: str) -> None:
    database = Database(server.url())
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"create database {name}"))
    database.dispose()


def _fresh(server: Postgres, name: str) -> Database:
    _create(server, name)
    migrate(server.url(name))
    return Database(server.url(name))


def _settle(database: Database) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))


def main() -> None:
    """Measure, record."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--claimers", type=int, default=8)
    parser.add_argument("--claims", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=FOLDER / "claims.json")
    asked = parser.parse_args()
    contestants: dict[str, Callable[..., dict[str, Any]]] = {"ours": ours}
    if PEERS.exists():
        contestants["procrastinate"] = procrastinate
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
    with tempfile.TemporaryDirectory(prefix="sieve-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = Postgres(folder / "postgres", log=folder / "log")
        server.start()
        try:
            for number in range(asked.rounds):
                order = list(contestants) if number % 2 == 0 else list(contestants)[::-1]
                for one in order:
                    found = contestants[one](server, f"{one}_{number}", asked.jobs, asked.claimers, asked.claims)
                    rounds[one].append(found)
        finally:
            server.stop()
    shown: dict[str, Any] = {
        "benchmark": "claims",
        "queued": asked.jobs,
        "owners": OWNERS,
        "claimers": asked.claimers,
        **{name: {**_middle(found), "rounds": found} for name, found in rounds.items()},
    }
    if "procrastinate" in shown:
        shown["times_procrastinate"] = round(shown["ours"]["a_second"] / shown["procrastinate"]["a_second"], 2)
    record(asked.out, shown, ("psycopg", "sqlalchemy"))


def _middle(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of the rounds; of what must not happen, the worst."""
    middle = {key: statistics.median(one[key] for one in rounds) for key in ("a_second", "p50_ms", "p99_ms")}
    return middle | {key: max(one.get(key, 0) for one in rounds) for key in ("double", "overshot")}


if __name__ == "__main__":
    main()
