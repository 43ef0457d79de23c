"""A real worker shares: it makes room for short jobs, and ends what runs for too long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local.postgres import Postgres
from local.redis import Redis
from store import limits
from store.tables import Job
from tests.jobs import events, states, submitted
from tests.plugins.rehearsal import RehearsalSpec
from tests.working import Workplace, eventually, workplace


def submit(place: Workplace, steps: int, **beside: Any) -> Job:
    job = submitted(place.database, place.owner, RehearsalSpec(steps=steps, seconds=0.1), **beside)
    place.bell.ring()
    return job


def resumed_at(place: Workplace, job: Job) -> list[int]:
    return [event.data["step"] for event in events(place.database, job.id, "resumed")]


@pytest.fixture
def place(postgres: Postgres, redis_server: Redis, tmp_path: Path) -> Any:
    with workplace(postgres, redis_server.url, tmp_path) as there:
        with there.database.transaction() as session:
            limits.set_policy(session, {"least_run_seconds": 0.5, "short_seconds": 5})
        yield there


def test_a_long_job_makes_room_for_a_short_one_and_goes_on_from_its_checkpoint(place: Workplace) -> None:
    with place.working(SIEVE_CPU_SLOTS="1"):
        long = submit(place, 300, priority=-1)
        eventually(lambda: events(place.database, long.id, "checkpoint"), 60, place.log)
        short = submit(place, 2, priority=1, max_run_seconds=5)
        assert place.until(short).state == "succeeded"
        eventually(lambda: resumed_at(place, long), 60, place.log)
        codes = [event.data.get("code") for event in events(place.database, long.id, "state")]
        assert states(place.database, long.id) == ["queued", "running", "queued", "running"]
        assert codes[2] == "preempted"
        assert resumed_at(place, long)[0] > 0
        overdue = submit(place, 300, priority=1, max_run_seconds=1)
        place.cancel(long)
        ended = place.until(overdue)
        assert (ended.state, ended.status_code) == ("failed", "max_run_time")
        assert ended.cpu_seconds >= 1
