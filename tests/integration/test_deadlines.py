"""What time does to jobs: deadlines, the stall alarm, and room for short jobs."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, text, update

from store.database import Database
from store.jobs import claim, expire, finish, preempt, renew, wish
from store.tables import Job, Policy
from tests.jobs import STUDY, events, look, parts, person, states, submitted

STOPPED = {"code": "stopped", "message": "stopped"}


def take(database: Database) -> Job:
    with database.transaction() as session:
        taken = claim.claim(session, worker_id="wrk_test", takes=["cpu", "accelerator"], lease_seconds=3600)
    assert taken is not None
    return look(database, taken.job_id)


def ago(database: Database, job: Job, seconds: float, *columns: str) -> None:
    """Set the job's times back."""
    then = text(f"now() - interval '{seconds} seconds'")
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(dict.fromkeys(columns, then)))


def overdue(database: Database) -> int:
    with database.transaction() as session:
        return expire.end_overdue(session)


def stop(database: Database, job: Job) -> Job:
    """The attempt stops, as it was asked to."""
    with database.transaction() as session:
        finish.release(session, job.id, job.fence, **STOPPED)
    return look(database, job.id)


def asked(database: Database, job: Job, **progress: Any) -> str | None:
    """What the attempt hears when it renews."""
    with database.transaction() as session:
        return renew.renew(session, job.id, job.fence, lease_seconds=3600, progress=progress or None)


def test_what_does_not_start_in_time_is_cancelled(database: Database) -> None:
    ada = person(database, "ada")
    job, other = submitted(database, ada, max_queue_seconds=60), submitted(database, ada)
    ago(database, other, 7200, "queued_at")
    assert overdue(database) == 0
    ago(database, job, 61, "queued_at")
    assert overdue(database) == 1
    now = look(database, job.id)
    assert (now.state, now.status_code, now.retryable) == ("cancelled", "max_queue_time", True)
    assert "60 s" in str(now.status_message)
    with database.transaction() as session:
        wish.retry(session, session.get_one(Job, job.id))
    assert overdue(database) == 0, "its time begins anew"


def test_what_has_started_once_is_not_late(database: Database) -> None:
    job = submitted(database, person(database, "ada"), max_queue_seconds=60)
    stop(database, take(database))
    ago(database, job, 120, "queued_at")
    assert overdue(database) == 0


def test_what_runs_for_too_long_fails_and_waiting_does_not_count(database: Database) -> None:
    job = submitted(database, person(database, "ada"), max_run_seconds=60)
    first = take(database)
    ago(database, first, 50, "charged_at")
    stop(database, first)
    ago(database, job, 1000, "queued_at")
    again = take(database)
    assert overdue(database) == 0
    ago(database, again, 20, "charged_at")
    assert overdue(database) == 1
    assert overdue(database) == 0, "it was asked already"
    assert asked(database, again) == "cancel"
    now = stop(database, again)
    assert (now.state, now.status_code, now.retryable) == ("failed", "max_run_time", True)
    with database.transaction() as session:
        wish.retry(session, session.get_one(Job, job.id))
    take(database)
    assert overdue(database) == 0, "its time begins anew"


def test_what_ends_before_it_stops_has_ended_so(database: Database) -> None:
    submitted(database, person(database, "ada"), max_run_seconds=60)
    job = take(database)
    ago(database, job, 90, "charged_at")
    assert overdue(database) == 1
    with database.transaction() as session:
        finish.fail(session, job.id, job.fence, code="diverged", message="nan")
    assert look(database, job.id).status_code == "diverged"


def test_a_study_that_does_not_start_in_time_is_cancelled_whole(database: Database) -> None:
    study = submitted(database, person(database, "ada"), STUDY, max_queue_seconds=60)
    assert overdue(database) == 0
    ago(database, study, 61, "created_at")
    assert overdue(database) == 1
    now = look(database, study.id)
    assert (now.state, now.status_code) == ("cancelled", "max_queue_time")
    assert {part.state for part in parts(database, study).values()} == {"cancelled"}


def test_a_study_that_runs_for_too_long_fails_whole(database: Database) -> None:
    study = submitted(database, person(database, "ada"), STUDY, max_run_seconds=60)
    running = take(database)
    ago(database, study, 61, "started_at")
    assert overdue(database) == 1
    assert asked(database, running) == "cancel"
    assert stop(database, running).status_code == "max_run_time"
    now = look(database, study.id)
    assert (now.state, now.status_code) == ("failed", "max_run_time")
    assert {part.state for part in parts(database, study).values()} == {"cancelled", "failed"}


def stalled(database: Database) -> int:
    with database.transaction() as session:
        return expire.note_stalled(session)


def test_no_progress_wants_attention_until_there_is_some(database: Database) -> None:
    submitted(database, person(database, "ada"))
    job = take(database)
    asked(database, job, phase="training", step=1, total=9)
    assert stalled(database) == 0
    ago(database, job, 1900, "progressed_at")
    asked(database, job, phase="training", step=1, total=9)
    assert stalled(database) == 1
    assert stalled(database) == 0
    assert look(database, job.id).attention == "no progress for 30 min"
    assert [event.data["message"] for event in events(database, job.id, "attention")] == ["no progress for 30 min"]
    asked(database, job, phase="training", step=2, total=9)
    assert look(database, job.id).attention is None
    ago(database, job, 1900, "progressed_at")
    with database.transaction() as session:
        session.execute(update(Policy).values(stall_minutes=None))
    assert stalled(database) == 0


def make_room(database: Database) -> int:
    with database.transaction() as session:
        return preempt.preempt(session)


@pytest.fixture
def long(database: Database) -> Job:
    """A long job of low priority, which has run for a while."""
    submitted(database, person(database, "ada"), priority=-1)
    job = take(database)
    asked(database, job, phase="training", step=1, total=9, eta_seconds=9000)
    ago(database, job, 400, "attempt_at")
    return job


def short(database: Database, **beside: Any) -> Job:
    """A short job of high priority, which has waited for a moment."""
    bob = person(database, f"bob{len(beside)}{beside.get('priority', '')}")
    job = submitted(database, bob, **{"priority": 1, "max_run_seconds": 600, **beside})
    ago(database, job, 5, "queued_at")
    return job


def test_a_long_job_makes_room_for_a_short_one_and_goes_on(database: Database, long: Job) -> None:
    urgent = short(database)
    since = look(database, long.id).queued_at
    assert make_room(database) == 1
    assert make_room(database) == 0, "one for each short job"
    assert asked(database, long) == "preempt"
    back = stop(database, long)
    assert (back.state, back.status_code, back.failures, back.queued_at) == ("queued", "preempted", 0, since)
    assert take(database).id == urgent.id
    again = take(database)
    assert (again.id, again.fence) == (long.id, 2)
    assert states(database, long.id) == ["queued", "running", "queued", "running"]
    short(database, name="another")
    assert make_room(database) == 0, "it has just started again"


@pytest.mark.parametrize(
    "beside", [{"priority": 0}, {"max_run_seconds": None}, {"max_run_seconds": 3600}], ids=["normal", "open", "long"]
)
def test_only_short_jobs_of_high_priority_are_made_room_for(
    database: Database, long: Job, beside: dict[str, Any]
) -> None:
    short(database, **beside)
    assert make_room(database) == 0


@pytest.mark.parametrize(
    "change",
    [{"priority": 0}, {"attempt_at": func.now()}, {"progress": {"eta_seconds": 100}}, {"wish": "pause"}],
    ids=["normal", "just started", "nearly done", "pausing"],
)
def test_only_long_jobs_of_low_priority_that_got_somewhere_make_room(
    database: Database, long: Job, change: dict[str, Any]
) -> None:
    short(database)
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == long.id).values(change))
    assert make_room(database) == 0


def test_preemption_can_be_switched_off(database: Database, long: Job) -> None:
    short(database)
    with database.transaction() as session:
        session.execute(update(Policy).values(preemption=False))
    assert make_room(database) == 0


def test_the_owners_wish_goes_before_a_preemption(database: Database, long: Job) -> None:
    short(database)
    assert make_room(database) == 1
    with database.transaction() as session:
        wish.pause(session, session.get_one(Job, long.id))
    assert asked(database, long) == "pause"
    assert stop(database, long).state == "paused"
