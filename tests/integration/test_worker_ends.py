"""Workers that end: asked to, killed, and one that starts while Redis is away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.postgres import Postgres
from local.redis import Redis
from store.workers import workers
from tests.jobs import events, look
from tests.working import Workplace, children_of, descendants, eventually, statuses, workplace


@pytest.fixture
def place(postgres: Postgres, redis_server: Redis, tmp_path: Path) -> Iterator[Workplace]:
    with workplace(postgres, redis_server.url, tmp_path) as there:
        yield there


def test_drained_it_gives_its_jobs_back_and_killed_it_leaves_nobody_behind(
    place: Workplace, postgres: Postgres
) -> None:
    job = place.submit(steps=80, seconds=0.1, ending="with orphans")
    with place.working() as first:
        eventually(lambda: events(place.database, job.id, "checkpoint"), 60)
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0
    back = place.until(job, "queued")
    assert (back.fence, back.failures) == (1, 0)
    drained_at = events(place.database, job.id, "checkpoint")[-1].data["step"]
    with place.database.transaction() as session:
        assert workers(session) == []

    place.redis_url = "redis://127.0.0.1:1/0"  # nobody there: slots look by themselves
    with place.working(SIEVE_LEASE_SECONDS="20") as second:
        eventually(lambda: events(place.database, job.id, "resumed"), 60)
        assert events(place.database, job.id, "resumed")[0].data["step"] == drained_at

        assert postgres.process is not None
        postgres.process.kill()
        postgres.process.wait()
        postgres.start()
        saved = len(events(place.database, job.id, "checkpoint"))
        eventually(lambda: len(events(place.database, job.id, "checkpoint")) > saved, 60)
        assert look(place.database, job.id).fence == 2, "the attempt outlived the database's absence"

        eventually(lambda: children_of(second), 60)
        below = descendants(second.pid)
        assert len(below) == 3, "nursery, child and the child's own"
        second.kill()
        second.wait()
        eventually(lambda: not set(below) & set(statuses()), 60)
    assert place.until(job, "running").lease_until is not None
