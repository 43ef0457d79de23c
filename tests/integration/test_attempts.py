"""What attempts write: guarded by the fence, each ending one transaction, with all that follows from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.planning import parse
from store import catalogue
from store.artifacts import StoredFile
from store.blobs import DiskBlobs
from store.database import Database
from store.errors import LeaseLost
from store.jobs import claim, finish, read, renew, wish
from store.jobs.inputs import materials
from store.tables import Artifact, Blob, Job, JobCheckpoint
from tests.hand import Hand
from tests.jobs import STUDY, events, look, parts, person, states, submitted

Write = Callable[[Session, str, int, DiskBlobs], Any]
REASON = {"code": "killed", "message": "killed"}
WRITES: dict[str, Write] = {
    "renew": lambda session, id, fence, _: renew.renew(session, id, fence, lease_seconds=9),
    "record": lambda session, id, fence, _: renew.record(session, id, fence, points=[("loss", 1, 1.0)]),
    "checkpoint": lambda session, id, fence, blobs: renew.add_checkpoint(
        session, id, fence, step=1, **_stored(blobs, b"1"), blobs=blobs
    ),
    "drop": lambda session, id, fence, _: renew.drop_checkpoint(session, id, fence, (1, 1)),
    "succeed": lambda session, id, fence, blobs: finish.succeed(session, id, fence, **_made(blobs)),
    "fail": lambda session, id, fence, _: finish.fail(session, id, fence, **REASON),
    "crash": lambda session, id, fence, _: finish.crash(session, id, fence, **REASON, max_failures=1),
    "release": lambda session, id, fence, _: finish.release(session, id, fence, **REASON),
}


def _stored(blobs: DiskBlobs, data: bytes) -> dict[str, Any]:
    source = blobs.root.parent / "source"
    source.write_bytes(data)
    sha256, size = blobs.put(source)
    return {"sha256": sha256, "size": size}


def _made(blobs: DiskBlobs) -> dict[str, Any]:
    """What a training ends with."""
    model = StoredFile("model.safetensors", "model", "application/octet-stream", **_stored(blobs, b"weights"))
    return {"figures": {}, "files": [model], "blobs": blobs}


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def hand(database: Database, blobs: DiskBlobs) -> Hand:
    return Hand(database, blobs)


def take(database: Database, lease: float = 60) -> claim.Claim:
    with database.transaction() as session:
        taken = claim.claim(session, worker_id="wrk_test", takes=["cpu", "accelerator"], lease_seconds=lease)
    assert taken is not None
    return taken


def sweep(database: Database, max_failures: int = 3) -> int:
    """As if the lease were a moment: the server of the tests has just started."""
    with database.transaction() as session:
        return finish.take_from_the_lost(session, lease_seconds=0.01, max_failures=max_failures)


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("lost", ["taken", "cancelled", "finished"])
def test_who_lost_the_job_can_write_nothing(database: Database, blobs: DiskBlobs, name: str, lost: str) -> None:
    job = submitted(database, person(database, "ada"))
    first = take(database, lease=0 if lost == "taken" else 60)
    if lost == "taken":
        assert sweep(database) == 1
        take(database)
    else:
        with database.transaction() as session:
            if lost == "cancelled":
                wish.cancel(session, session.get_one(Job, job.id))
                finish.release(session, job.id, first.fence, **REASON)
            else:
                finish.succeed(session, job.id, first.fence, **_made(blobs))
    before = look(database, job.id)
    with database.transaction() as session, pytest.raises(LeaseLost):
        WRITES[name](session, job.id, first.fence, blobs)
    after = look(database, job.id)
    assert (after.state, after.fence, after.last_event) == (before.state, before.fence, before.last_event)


@pytest.mark.parametrize("name", WRITES)
def test_who_holds_the_job_can(database: Database, blobs: DiskBlobs, name: str) -> None:
    """So that the test above can fail."""
    job = submitted(database, person(database, "ada"))
    taken = take(database)
    with database.transaction() as session:
        WRITES[name](session, job.id, taken.fence, blobs)


def test_success_publishes_and_lets_go_what_waited(database: Database, hand: Hand) -> None:
    ada = person(database, "ada")
    study = submitted(database, ada, STUDY)
    attempt = hand.take()
    attempt.record(("log", {"message": "hello"}), points=[("loss", 1, 2.5), ("loss", 1, 2.0), ("loss", 2, math.nan)])
    attempt.succeed({"loss": math.nan, "nested": [math.inf, -math.inf, 0.5]}, model=b"weights", picture=b"png")
    job = look(database, attempt.claim.job_id)
    assert (job.state, job.node, job.lease_until, job.worker_id) == ("succeeded", "0/train/D_adv", None, None)
    assert job.result == {"loss": "NaN", "nested": ["Infinity", "-Infinity", 0.5]}
    children = parts(database, study)
    assert children["0/synthesize/D_R"].state == "queued"
    assert children["0/evaluate/D_adv"].waiting_for == 4
    assert look(database, study.id).state == "running"
    with database.transaction() as session:
        curves = read.metrics(session, job.id)
        assert curves["loss"][0] == (1, 2.0)
        assert math.isnan(curves["loss"][1][1])
        (model,) = catalogue.models(session, ada)
        assert model.job_id == job.id
        assert {row.role: row.size for row in read.artifacts(session, job.id)} == {"model": 7, "picture": 3}
        given = materials(session, children["report"].id, parse(children["report"].spec))
        assert given.models == {job.id: read.artifact(session, ada, model.artifact_id).sha256}
        assert math.isnan(given.figures[job.id]["loss"])
        given = materials(session, "job_x", parse(children["0/synthesize/D_R"].spec))
        assert list(given.models) == [job.id]
        assert given.figures == {}


def test_a_study_succeeds_with_its_last_job(database: Database, hand: Hand) -> None:
    study = submitted(database, person(database, "ada"), STUDY)
    hand.do_everything()
    now = look(database, study.id)
    assert now.state == "succeeded"
    assert now.result == {"rows": []}
    assert states(database, study.id) == ["blocked", "running", "succeeded"]
    assert {job.state for job in parts(database, study).values()} == {"succeeded"}


def test_failure_skips_what_waited_and_the_rest_goes_on(database: Database, hand: Hand) -> None:
    study = submitted(database, person(database, "ada"), STUDY)
    hand.take().fail("the loss is not a number")  # D_adv
    children = parts(database, study)
    skipped = {node for node, job in children.items() if job.state == "skipped"}
    assert skipped == {"0/synthesize/D_R", "0/train/D_R", "report"} | {
        f"0/evaluate/{row}" for row in ("D", "D_adv", "D_R")
    }
    assert "0/train/D_adv), which it needs, failed" in str(children["0/synthesize/D_R"].status_message)
    assert look(database, study.id).state == "running"
    hand.do_everything()
    now = look(database, study.id)
    assert (now.state, now.status_code, now.retryable) == ("failed", "child_failed", True)
    assert children["0/train/D_adv"].id in str(now.status_message)
    with database.transaction() as session:
        wish.retry(session, session.get_one(Job, study.id))
    assert states(database, study.id)[-1] == "running"
    hand.do_everything()
    assert look(database, study.id).state == "succeeded"


def test_a_crash_is_tried_again_a_few_times(database: Database) -> None:
    job = submitted(database, person(database, "ada"))
    for failures in (1, 2, 3):
        taken = take(database)
        assert taken.failures == failures - 1
        with database.transaction() as session:
            finish.crash(session, job.id, taken.fence, **REASON, max_failures=3)
    now = look(database, job.id)
    assert (now.state, now.failures, now.status_code, now.retryable) == ("failed", 3, "killed", True)
    assert states(database, job.id) == ["queued", "running"] * 3 + ["failed"]


def test_the_lost_are_charged_and_taken_from(database: Database) -> None:
    job = submitted(database, person(database, "ada"))
    take(database)
    assert sweep(database) == 0
    with database.transaction() as session:
        session.execute(text("update jobs set lease_until = now() - interval '1 second' where state = 'running'"))
        assert finish.take_from_the_lost(session, lease_seconds=1e6, max_failures=3) == 0, "PostgreSQL has just started"
    assert sweep(database) == 1
    now = look(database, job.id)
    assert (now.state, now.failures, now.status_code) == ("queued", 1, "worker_lost")
    take(database, lease=0)
    assert sweep(database, max_failures=2) == 1
    assert look(database, job.id).state == "failed"


def test_releasing_is_free_and_follows_the_owners_wish(database: Database) -> None:
    ada = person(database, "ada")
    for asked, after in ((None, "queued"), (wish.pause, "paused"), (wish.cancel, "cancelled")):
        job = submitted(database, ada, priority=1)
        taken = take(database)
        with database.transaction() as session:
            if asked is not None:
                asked(session, session.get_one(Job, job.id))
        with database.transaction() as session:
            expected = None if asked is None else asked.__name__
            assert renew.renew(session, job.id, taken.fence, lease_seconds=9) == expected
            finish.release(session, job.id, taken.fence, code="stopped", message="stopped")
        now = look(database, job.id)
        assert (now.state, now.failures, now.wish) == (after, 0, None)
        with database.transaction() as session:
            if after != "cancelled":
                wish.cancel(session, session.get_one(Job, job.id))


def test_the_last_two_checkpoints_are_kept(database: Database, blobs: DiskBlobs) -> None:
    job = submitted(database, person(database, "ada"))
    saved: dict[int, dict[str, Any]] = {}
    for step in (1, 2, 3):
        fence = take(database).fence
        with database.transaction() as session:
            saved[step] = _stored(blobs, str(step).encode())
            renew.add_checkpoint(session, job.id, fence, step=step, **saved[step], blobs=blobs)
            finish.release(session, job.id, fence, code="stopped", message="stopped")
    with database.transaction() as session:
        kept = [(one.fence, one.step, one.sha256) for one in materials(session, job.id, parse(job.spec)).checkpoints]
        assert kept == [(3, 3, saved[3]["sha256"]), (2, 2, saved[2]["sha256"])]
    taken = take(database)
    with database.transaction() as session:
        renew.drop_checkpoint(session, job.id, taken.fence, (3, 3))
        again = _stored(blobs, b"4")
        renew.add_checkpoint(session, job.id, taken.fence, step=3, **again, blobs=blobs)
        kept = [(one.fence, one.step, one.sha256) for one in materials(session, job.id, parse(job.spec)).checkpoints]
        assert kept == [(4, 3, again["sha256"]), (2, 2, saved[2]["sha256"])]
        finish.succeed(session, job.id, taken.fence, **_made(blobs))
        assert session.scalar(select(func.count()).select_from(JobCheckpoint)) == 0
        assert session.scalar(select(func.count()).select_from(Blob)) == 5
    assert [event.data["step"] for event in events(database, job.id, "checkpoint")] == [1, 2, 3, 3]


def test_what_a_kept_checkpoint_continues_is_kept(database: Database, blobs: DiskBlobs) -> None:
    job = submitted(database, person(database, "ada"))

    def add(fence: int, *steps: tuple[int, int | None]) -> list[tuple[int, int]]:
        with database.transaction() as session:
            for step, continues in steps:
                stored = _stored(blobs, f"{fence} {step}".encode())
                renew.add_checkpoint(session, job.id, fence, step=step, continues=continues, **stored, blobs=blobs)
        return kept()

    def kept() -> list[tuple[int, int]]:
        with database.transaction() as session:
            return [(one.fence, one.step) for one in materials(session, job.id, parse(job.spec)).checkpoints]

    first = take(database).fence
    chain = add(first, (1, None), (2, 1), (4, 2))
    assert chain == [(first, 4), (first, 2), (first, 1)]
    with database.transaction() as session:
        finish.release(session, job.id, first, code="stopped", message="stopped")
    second = take(database).fence
    assert add(second, (5, 4))[:2] == [(second, 5), (first, 4)]
    with database.transaction() as session:
        renew.drop_checkpoint(session, job.id, second, (first, 2))
    assert kept() == [(first, 1)], "what continues a damaged one is of no use"
    assert add(second, (3, 1), (6, 3)) == [(second, 6), (second, 3), (first, 1)]
    assert add(second, (7, None))[1:] == [(second, 6), (second, 3), (first, 1)], "one to fall back to, and its chain"
    assert add(second, (8, None)) == [(second, 8), (second, 7)]


def test_event_numbers_have_no_gaps(database: Database, hand: Hand) -> None:
    study = submitted(database, person(database, "ada"), STUDY)
    hand.do_everything()
    for job in [study, *parts(database, study).values()]:
        numbers = [event.id for event in events(database, job.id)]
        assert numbers == list(range(1, look(database, job.id).last_event + 1))


def test_equal_files_are_one_blob(database: Database, hand: Hand) -> None:
    ada = person(database, "ada")
    for _ in range(2):
        submitted(database, ada)
        hand.take().succeed({}, model=b"the same", picture=b"the same")
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 1
        assert session.scalar(select(func.count()).select_from(Artifact)) == 4


def test_curves_are_thinned(database: Database) -> None:
    job = submitted(database, person(database, "ada"))
    fence = take(database).fence
    with database.transaction() as session:
        renew.record(session, job.id, fence, points=[(name, step, step / 2) for name in "ab" for step in range(1000)])
        thin = read.metrics(session, job.id, names=["a"], points=100)
        assert list(thin) == ["a"]
        assert thin["a"][:2] == [(0, 0.0), (10, 5.0)]
        assert thin["a"][-1] == (999, 499.5)
        assert len(thin["a"]) <= 102
        assert len(read.metrics(session, job.id)["b"]) == 1000
