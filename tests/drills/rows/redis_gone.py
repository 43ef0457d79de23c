"""Redis is gone, or there and silent: submissions are answered within a second, and running jobs go on."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.stage import Place, Stage
from tests.jobs import events, look
from tests.plugins.rehearsal import RehearsalSpec
from tests.working import eventually

SECONDS = {"full": 300.0, "short": 3.0}
"""Of each absence: ten minutes for the two."""
AT_ONCE = 8
"""Submissions in the same moment."""


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """Once it is killed, once it is only stopped, so that connections are taken and nothing is answered."""
    with stage.at_work() as (place, _), place.served() as client:
        for number in range(n):
            yield _absence(stage, place, client, silent=number % 2 == 1)


def _absence(stage: Stage, place: Place, client: httpx.Client, *, silent: bool) -> Trial:
    seconds = SECONDS["short" if stage.short or stage.off else "full"]
    long = place.submit(RehearsalSpec(steps=round(2 * seconds), seconds=0.5))
    eventually(lambda: events(place.database, long.id, "progress"), 30)
    server = stage.redis.process
    assert server is not None
    server.send_signal(signal.SIGSTOP if silent else signal.SIGKILL)
    until, took, jobs = time.monotonic() + seconds, [], []
    crowd = ThreadPoolExecutor(AT_ONCE)
    try:
        while time.monotonic() < until:
            for id, waited in crowd.map(_submit, [client] * AT_ONCE):
                jobs.append(id)
                took.append(waited)
            time.sleep(stage.draw.uniform(0, seconds / 10))
    finally:
        if silent:
            server.send_signal(signal.SIGCONT)
        else:
            server.wait()
            stage.redis.start()
    place.until(long, seconds=seconds + 30)
    eventually(lambda: place.ended(jobs) == len(jobs), 30)
    found = Auditor.of(place).check([long.id, *jobs])
    if look(place.database, long.id).fence != 1:
        found.append(f"{long.id} ran when Redis went, and was begun again")
    return Trial(1, found, {"submit_seconds": took, "redis": "silent" if silent else "gone"})


def _submit(client: httpx.Client) -> tuple[str, float]:
    began = time.monotonic()
    answer = client.post("/v1/jobs", json={"kind": "rehearsal", "steps": 1})
    return answer.raise_for_status().json()["id"], time.monotonic() - began


DRILL = Drill(
    name="redis_gone",
    holds="submit still answers in < 1 s, running jobs go on: Redis gone for 10 min",
    full=2,
    short=2,
    shares=True,
    run=run,
    without=("tests.drills.protections:no_impatience",),
    limits={"submit_seconds": ("max", 1.0)},
)
