"""How fast are reads over HTTP with 1,000,000 jobs stored? One job, every filtered list, the queue; 4 clients.

    python -m benchmarks.reads --out out/bench/reads.json

The API as `sieve up` runs it, one process, on a PostgreSQL of its own with 50 users. Most jobs have ended; 10,000 wait,
64 run. Each kind of request is measured by itself, as a member and as an admin: each of 4 clients (a process) sends its
next request as soon as it has its answer.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import statistics
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import text

from benchmarks.record import FOLDER, record
from benchmarks.serving import served, servers
from store import accounts, workers
from store.database import Database

OWNERS = 50
WAITING = 10_000
RUNNING = 64
MEMBER = 3
"""Number of the user who asks as a member."""

_FILL = """
    insert into users (id, name, role) select 'usr_' || n, 'user' || n, 'member' from generate_series(1, :owners) n;
    insert into accounts (user_id, usage, running, max_running)
    select 'usr_' || n, 3600 * n, :running / :owners, 4 from generate_series(1, :owners) n;
    insert into jobs (id, kind, name, owner_id, spec, labels, slot, state, priority, waiting_for, created_at, queued_at,
                      started_at, finished_at, attempt_at, progressed_at, charged_at, lease_until, worker_id, place,
                      device, fence, progress, study_id, node, last_event)
    select 'job_' || lpad(n::text, 10, '0'), (array['train', 'synthesize', 'evaluate', 'report'])[1 + n % 4],
           'job ' || n, 'usr_' || (1 + n / 7 % :owners),
           '{"kind": "train", "dataset": {"name": "digits"}, "architecture": {"name": "convnet"}, "epochs": 10}',
           jsonb_build_object('lab', 'vision', 'paper', 'table-' || n % 1000),
           case n % 4 when 3 then 'cpu' else 'accelerator' end, state, (array[0, 0, 0, 0, 0, 0, 1, -1])[1 + n % 8], 0,
           now() - (:jobs - n) * interval '1 minute', now() - (:jobs - n) * interval '50 seconds',
           case when state <> 'queued' then now() - (:jobs - n) * interval '40 seconds' end,
           case when state in ('succeeded', 'failed', 'cancelled') then now() - (:jobs - n) * interval '30 seconds' end,
           now(), now(), now(), case when state = 'running' then now() + interval '1 day' end,
           case when state = 'running' then 'wrk_1' end, 'here/cuda:' || n % 64, 'cuda:' || n % 64, 1,
           case when state <> 'queued'
                then jsonb_build_object('phase', 'training', 'step', 5, 'total', 10, 'eta_seconds', 600) end,
           case when n > 20 and n % 20 <> 0 then 'job_' || lpad((n - n % 20)::text, 10, '0') end, 'node', 3
    from (
        select n, case when n > :jobs - :running then 'running' when n > :jobs - :running - :waiting then 'queued'
                       when n % 50 = 0 then 'failed' when n % 97 = 0 then 'cancelled' else 'succeeded' end as state
        from generate_series(1, :jobs) n
    ) made;
    insert into events (job_id, id, type, data)
    select id, k, 'state', (array['{"from": null, "to": "queued"}', '{"from": "queued", "to": "running"}',
                                  '{"from": "running", "to": "succeeded"}'])[k]::jsonb
    from jobs, generate_series(1, 3) k;
"""


def requests(jobs: int) -> dict[str, list[str]]:
    """Paths to ask for, by what is measured."""
    draw = random.Random(0)  # noqa: S311 - which jobs are looked at
    hers = [number for number in range(1, jobs) if number // 7 % OWNERS == MEMBER - 1]
    anywhere = [f"job_{number:010d}" for number in draw.choices(hers, k=1000)]
    studies = [f"job_{number:010d}" for number in draw.choices([n for n in hers if n % 20 == 0], k=50)]
    lists: dict[str, list[str]] = {
        "newest": [""],
        "state": ["state=running", "state=queued", "state=failed", "state=cancelled,failed", "state=succeeded"],
        "kind": ["kind=report", "kind=train,evaluate"],
        "owner": [f"owner=user{n}" for n in range(1, OWNERS, 7)],
        "label": [f"label=paper%3Dtable-{n}" for n in range(0, 1000, 50)],
        "everybody's label": ["label=lab%3Dvision"],
        "study": [f"study={id}" for id in studies],
        "no study": ["study=none"],
        "state and kind": ["state=failed&kind=report", "state=running&kind=train"],
        "state and owner": [f"state=failed&owner=user{MEMBER}", f"state=queued&owner=user{MEMBER}"],
        "state and label": ["state=failed&label=paper%3Dtable-50"],
        "state and everybody's label": [
            f"state={state}&label=lab%3Dvision" for state in ("failed", "paused", "running")
        ],
    }
    return {
        "one job": [f"/v1/jobs/{id}" for id in anywhere],
        **{f"list by {name}": [f"/v1/jobs?{query}" for query in queries] for name, queries in lists.items()},
        "queue": ["/v1/queue"],
    }


def _client(url: str, key: str, paths: list[str], count: int, *, start: Any, answers: Any) -> None:
    times = []
    http = HTTPConnection(urlsplit(url).netloc, timeout=60)

    def get(path: str) -> None:
        http.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        answer = http.getresponse()
        said = answer.read()
        assert answer.status == 200, said

    with contextlib.closing(http):
        get("/v1/me")
        start.wait()
        for number in range(count):
            before = time.perf_counter()
            get(paths[number % len(paths)])
            times.append(1000 * (time.perf_counter() - before))
    answers.put(times)


def measured(url: str, key: str, paths: list[str], count: int, clients: int) -> dict[str, float]:
    """Milliseconds of so many requests, all clients together."""
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(clients), context.Queue()
    for number in range(clients):
        own = paths[number::clients] or paths
        told = {"start": start, "answers": answers}
        context.Process(target=_client, daemon=True, args=(url, key, own, count // clients), kwargs=told).start()
    times = [one for _ in range(clients) for one in answers.get(timeout=300)]
    cuts = statistics.quantiles(times, n=100)
    return {"p50": round(cuts[49], 2), "p99": round(cuts[98], 2), "longest": round(max(times), 1), "n": len(times)}


def fill(database: Database, jobs: int) -> dict[str, str]:
    """So many jobs; the keys of a member and of an admin."""
    values = {"owners": OWNERS, "jobs": jobs, "waiting": min(WAITING, jobs // 10), "running": RUNNING}
    with database.transaction() as session:
        for statement in _FILL.strip().rstrip(";").split(";"):
            session.execute(text(statement), {key: value for key, value in values.items() if f":{key}" in statement})
        held = "select count(*) from jobs where owner_id = user_id and state = 'running'"
        session.execute(text(f"update accounts set running = ({held})"))  # noqa: S608 - ours
        slots = [{"name": f"cuda:{n}", "device": f"cuda:{n}", "takes": ["accelerator"], "job": None} for n in range(64)]
        workers.register(session, "wrk_1", host="here", pid=1, version="0", slots=slots)
        session.execute(text("update workers set seen_at = now() + interval '1 day'"))
        member = accounts.find_user(session, f"user{MEMBER}")
        assert member is not None
        admin = accounts.create_user(session, "root", "admin")
        keys = {"member": accounts.create_key(session, member), "admin": accounts.create_key(session, admin)}
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
    return keys


def main() -> None:
    """Measure, record."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=10_000, help="in all, spread over what is measured")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--out", type=Path, default=FOLDER / "reads.json")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    with servers() as place:
        keys = fill(place.database, asked.jobs)
        with served(place) as (url, _):
            kinds = requests(asked.jobs)
            each = asked.requests // (2 * len(kinds))
            for who, key in keys.items():
                for kind, paths in kinds.items():
                    measured(url, key, paths, max(50, 4 * min(len(paths), 50), 2 * asked.clients), asked.clients)
                    found[f"{kind}, {who}"] = measured(url, key, paths, each, asked.clients)
    worst = max(found, key=lambda kind: found[kind]["p99"])
    shown = {
        "benchmark": "reads",
        "jobs": asked.jobs,
        "waiting": min(WAITING, asked.jobs // 10),
        "clients": asked.clients,
        "requests": sum(one["n"] for one in found.values()),
        "worst": {"what": worst, "p99": found[worst]["p99"]},
        "milliseconds": found,
    }
    record(asked.out, shown, ("fastapi", "psycopg", "sqlalchemy", "uvicorn"))


if __name__ == "__main__":
    main()
