"""procrastinate's part of `benchmarks.claims`: run by it, in the environment of the peers.

    python procrastinate_claims.py CONNINFO OWNERS JOBS CLAIMERS CLAIMS

As many jobs in one queue an owner, with the same priorities; it knows neither fair share nor limits. Prints, of each
claimer: when it began and ended, seconds of each claim, what it claimed.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import time
from typing import Any

from procrastinate import App, PsycopgConnector

_FILL = """
    insert into procrastinate_jobs (queue_name, task_name, priority, args)
    select 'owner' || n %% {owners}, 'train', (array[1, -1, -1, 0, 0, 0, 0, 0, 0, 0])[1 + n / {owners} %% 10], '{{}}'
    from generate_series(1, {jobs}) n
"""


def _app(conninfo: str) -> App:
    return App(connector=PsycopgConnector(conninfo=conninfo, min_size=1, max_size=1))


async def _fill(conninfo: str, owners: int, jobs: int) -> None:
    app = _app(conninfo)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async(_FILL.format(owners=owners, jobs=jobs))
        await app.connector.execute_query_async("analyze procrastinate_jobs")


async def _claim(conninfo: str, claims: int, start: Any) -> tuple[float, float, list[float], list[int]]:
    app = _app(conninfo)
    async with app.open_async():
        worker = await app.job_manager.register_worker()
        start.wait()
        times, taken = [], []
        began = time.monotonic()
        for _ in range(claims):
            before = time.perf_counter()
            job = await app.job_manager.fetch_job(queues=None, worker_id=worker)
            times.append(time.perf_counter() - before)
            assert job is not None
            taken.append(job.id)
        return began, time.monotonic(), times, taken


def _claimer(conninfo: str, claims: int, start: Any, answers: Any) -> None:
    answers.put(asyncio.run(_claim(conninfo, claims, start)))


def main() -> None:
    """Fill, claim, print."""
    conninfo = sys.argv[1]
    owners, jobs, claimers, claims = map(int, sys.argv[2:])
    asyncio.run(_fill(conninfo, owners, jobs))
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(claimers), context.Queue()
    for _ in range(claimers):
        context.Process(target=_claimer, args=(conninfo, claims // claimers, start, answers)).start()
    print(json.dumps([answers.get() for _ in range(claimers)]))


if __name__ == "__main__":
    main()
