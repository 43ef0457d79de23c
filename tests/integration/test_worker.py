"""A real worker does jobs: well, badly, asked to stop, hurt. One worker for all of these tests, as in life."""

from __future__ import annotations

import math
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from core.planning import parse
from local.postgres import Postgres
from local.redis import Redis
from store import estimates
from store.blobs import DiskBlobs
from store.figures import from_json
from store.jobs import finish, read, submit, wish
from store.tables import Job
from store.workers import workers
from tests.jobs import TRAIN, events, look, states
from tests.working import Workplace, children_of, descendants, eventually, kill, nursery_of, statuses, workplace

STEPS = 8


@pytest.fixture(scope="module")
def place(postgres: Postgres, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplace(postgres, redis_server.url, tmp_path_factory.mktemp("home")) as there:
        yield there


@pytest.fixture(scope="module")
def worker(place: Workplace) -> Iterator[subprocess.Popen[bytes]]:
    with place.working() as process:
        yield process


@pytest.fixture(scope="module")
def total(place: Workplace, worker: subprocess.Popen[bytes]) -> list[float]:
    """What an undisturbed rehearsal finds."""
    found: list[float] = figures(place.until(place.submit(steps=STEPS)))["total"]  # type: ignore[assignment]
    return found


def figures(job: Job) -> dict[str, object]:
    assert job.state == "succeeded", job.status_message
    assert job.result is not None
    found: dict[str, object] = from_json(job.result)
    return found


def resumed_at(place: Workplace, job: Job) -> list[int]:
    return [event.data["step"] for event in events(place.database, job.id, "resumed")]


def in_the_middle(place: Workplace, job: Job, step: int = 2) -> None:
    """Wait until a checkpoint at or after this step was published."""
    eventually(
        lambda: any(event.data["step"] >= step for event in events(place.database, job.id, "checkpoint")), 30, place.log
    )


def test_a_job_is_done_and_all_that_it_said_is_kept(place: Workplace, worker: subprocess.Popen[bytes]) -> None:
    job = place.until(place.submit(steps=4, seconds=0.2))
    assert states(place.database, job.id) == ["queued", "running", "succeeded"]
    found = figures(job)
    assert math.isnan(float(str(found["nothing"])))
    assert not {"DATABASE_URL", "REDIS_URL"} & set(found["environment"])  # type: ignore[call-overload]
    assert job.progress is not None
    assert (job.progress["phase"], job.progress["total"]) == ("counting", 4)
    (started,) = events(place.database, job.id, "started")
    assert (started.data["attempt"], started.data["device"], started.data["threads"]) == (1, "cpu", 1)
    assert "torch" in started.data["versions"]
    with place.database.transaction() as session:
        curve = read.metrics(session, job.id)["total"]
        (file,) = read.artifacts(session, job.id)
        (listed,) = workers(session)
    assert [step for step, _ in curve] == [1, 2, 3, 4]
    assert curve[-1][1] == found["total"][0]  # type: ignore[index]
    assert DiskBlobs(place.home / "blobs").open(file.sha256).read().decode() == str(found["total"])
    assert [slot["name"] for slot in listed.slots["slots"]] == ["cpu:0", "cpu:1"]
    assert listed.pid == worker.pid
    eventually(lambda: not list((place.home / "scratch").iterdir()), 60)


def test_a_real_training_makes_a_model(place: Workplace, worker: subprocess.Popen[bytes]) -> None:
    job = place.until(place.submit(TRAIN))
    assert figures(job)["epochs"] == 2
    with place.database.transaction() as session:
        assert [file.role for file in read.artifacts(session, job.id)] == ["model"]


def test_the_bell_brings_a_job_to_its_slot_at_once(place: Workplace, total: list[float]) -> None:
    """Well before the slot would look by itself."""
    delays = []
    for _ in range(5):
        job = place.until(place.submit(steps=1))
        (started,) = events(place.database, job.id, "started")
        delays.append((started.at - job.created_at).total_seconds())
    assert sorted(delays)[2] < 0.5, delays


def test_an_error_that_would_repeat_fails_at_once(place: Workplace, worker: subprocess.Popen[bytes]) -> None:
    job = place.until(place.submit(ending="wrong"))
    assert (job.state, job.status_code, job.status_message) == ("failed", "value_error", "this would come again")
    assert (job.fence, job.failures, job.retryable) == (1, 0, False)
    assert any("rehearsal.py" in event.data["message"] for event in events(place.database, job.id, "log"))


@pytest.mark.parametrize(("ending", "code"), [("no memory", "out_of_memory"), ("segfault", "killed_by_sigsegv")])
def test_a_crash_is_tried_three_times_and_harms_nobody(
    place: Workplace, total: list[float], ending: str, code: str
) -> None:
    neighbour = place.submit(steps=STEPS, seconds=0.1)
    job = place.until(place.submit(ending=ending))
    assert (job.state, job.status_code, job.fence, job.failures) == ("failed", code, 3, 3)
    neighbour = place.until(neighbour)
    assert figures(neighbour)["total"] == total
    assert neighbour.fence == 1


def test_a_running_job_is_cancelled(place: Workplace, worker: subprocess.Popen[bytes]) -> None:
    job = place.until(place.submit(steps=100_000, seconds=0.05), "running")
    place.cancel(job)
    assert place.until(job).state == "cancelled"


def test_one_that_does_not_listen_is_killed(place: Workplace, worker: subprocess.Popen[bytes]) -> None:
    job = place.submit(ending="deaf")
    eventually(lambda: events(place.database, job.id, "progress"), 60)
    place.cancel(job)
    assert place.until(job).state == "cancelled"
    assert look(place.database, job.id).failures == 0


def test_pausing_keeps_what_was_done(place: Workplace, total: list[float]) -> None:
    job = place.submit(steps=STEPS, seconds=0.1)
    in_the_middle(place, job)
    place.ask(job, wish.pause)
    assert place.until(job).state == "paused"
    paused_at = events(place.database, job.id, "checkpoint")[-1].data["step"]
    place.ask(job, wish.resume)
    ended = place.until(job, "succeeded", "failed")
    assert figures(ended)["total"] == total
    assert ended.failures == 0
    (last,) = resumed_at(place, job)
    assert last == paused_at >= 2


def test_a_killed_child_is_resumed(place: Workplace, worker: subprocess.Popen[bytes], total: list[float]) -> None:
    job = place.submit(steps=STEPS, seconds=0.2)
    in_the_middle(place, job)
    kill(children_of(worker)[0])
    ended = place.until(job)
    assert figures(ended)["total"] == total
    assert (ended.fence, ended.failures) == (2, 0), "a new checkpoint puts what went wrong behind it"
    assert resumed_at(place, job)[0] >= 2
    assert "killed_by_sigkill" in [event.data["code"] for event in events(place.database, job.id, "state")[1:]]


def test_a_killed_nursery_takes_all_with_it_and_charges_nobody(
    place: Workplace, worker: subprocess.Popen[bytes], total: list[float]
) -> None:
    job = place.submit(steps=STEPS, seconds=0.2, ending="with orphans")
    in_the_middle(place, job)
    before = descendants(worker.pid)
    assert any(command.startswith("sleep 1000") for pid, (_, command) in statuses().items() if pid in before)
    kill(nursery_of(worker))
    eventually(lambda: not set(before) & set(statuses()), 60)
    ended = place.until(job, seconds=60)
    assert figures(ended)["total"] == total
    assert (ended.fence, ended.failures) == (2, 0)
    assert resumed_at(place, job)[0] >= 2
    eventually(lambda: descendants(worker.pid) == [nursery_of(worker)], 60)


def test_a_damaged_checkpoint_is_not_used(place: Workplace, total: list[float]) -> None:
    job = place.submit(steps=STEPS, seconds=0.3)
    in_the_middle(place, job, step=3)
    place.ask(job, wish.pause)
    place.until(job)
    saved = [(event.data["step"], event.data["sha256"]) for event in events(place.database, job.id, "checkpoint")]
    newest = DiskBlobs(place.home / "blobs").path(saved[-1][1])
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.chmod(0o644)
    newest.write_bytes(data)
    place.ask(job, wish.resume)
    assert figures(place.until(job, "succeeded", "failed"))["total"] == total
    assert resumed_at(place, job) == [saved[-2][0]]
    said = [event.data["message"] for event in events(place.database, job.id, "log")]
    assert said == [f"the checkpoint of step {saved[-1][0]} is damaged: not used"]


def test_a_worker_that_slept_past_its_lease_is_refused(
    place: Workplace, worker: subprocess.Popen[bytes], total: list[float]
) -> None:
    job = place.submit(steps=STEPS, seconds=0.3)
    in_the_middle(place, job)
    os.kill(worker.pid, signal.SIGSTOP)
    try:

        def taken() -> int:
            with place.database.transaction() as session:
                return finish.take_from_the_lost(session, lease_seconds=3, max_failures=3)

        assert eventually(taken, 60) == 1
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    ended = place.until(job)
    assert figures(ended)["total"] == total
    assert (ended.fence, ended.failures) == (2, 0), "a new checkpoint puts what went wrong behind it"
    assert f"{job.id}: attempt 1 no longer holds it" in place.log()
    assert resumed_at(place, job)[0] >= 2


def test_a_network_that_is_asked_about_is_measured_and_its_jobs_say_what_they_took(
    place: Workplace, worker: subprocess.Popen[bytes]
) -> None:
    spec = parse(TRAIN.model_dump(mode="json") | {"architecture": {"name": "convnet", "options": {"widths": [4]}}})

    def estimated() -> estimates.PlanEstimate:
        with place.database.transaction() as session:
            return estimates.of_plan(session, submit.plan(session, owner=place.owner, spec=spec))

    assert estimated().pending
    place.bell.ring()
    found = eventually(lambda: None if (now := estimated()).pending else now, 60, place.log)
    assert found.seconds is not None, found.missing()
    assert 0.1 < found.seconds.value < 60
    taken = place.until(place.submit(spec)).taken
    assert taken is not None
    assert taken["device"] == "cpu"
    assert 0 < taken["seconds"] < 60
    assert 1 << 26 < taken["memory"] < 1 << 32
