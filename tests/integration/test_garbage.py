"""Deleting jobs, forgetting what is old, collecting garbage: nothing that somebody needs is ever gone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update

from core.planning import parse
from store import garbage
from store.artifacts import publish_blobs
from store.blobs import DiskBlobs
from store.database import Database
from store.errors import BlobMissing, Conflict, IllegalTransition
from store.garbage import collect
from store.jobs import delete, read, renew, submit, wish
from store.retention import forget
from store.settings import Settings
from store.tables import Artifact, Blob, Event, Job, JobCheckpoint, Model, Table
from tests.hand import Hand
from tests.jobs import STUDY, events, person, states, submitted
from tests.working import eventually


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def hand(database: Database, blobs: DiskBlobs) -> Hand:
    return Hand(database, blobs)


def put(blobs: DiskBlobs, data: bytes) -> tuple[str, int]:
    blobs.root.mkdir(exist_ok=True)
    source = blobs.root / "source"
    source.write_bytes(data)
    return blobs.put(source)


def stored(blobs: DiskBlobs) -> set[str]:
    return {kept.sha256 for kept in blobs.everything()}


def rows(database: Database) -> dict[str, str]:
    with database.transaction() as session:
        return {row.sha256: row.state for row in session.scalars(select(Blob))}


def remove(database: Database, job: Job) -> None:
    with database.transaction() as session:
        delete.delete_job(session, session.get_one(Job, job.id))


def test_a_deleted_job_leaves_nothing(database: Database, hand: Hand, blobs: DiskBlobs) -> None:
    ada = person(database, "ada")
    study, kept = submitted(database, ada, STUDY, idempotency=("key", "body")), submitted(database, ada)
    hand.do_everything()
    before = stored(blobs)
    remove(database, study)
    collect(database, blobs, wait_seconds=0)
    with database.transaction() as session:
        assert [job["id"] for job in read.page(session, ada)] == [kept.id]
        left = {row.sha256 for row in session.scalars(select(Artifact))}
        assert {row.job_id for row in session.scalars(select(Event))} == {kept.id}
    assert stored(blobs) == left == set(rows(database))
    assert len(left) == 1 < len(before)


def test_what_others_may_still_read_is_not_deleted(database: Database, hand: Hand) -> None:
    ada = person(database, "ada")
    train = submitted(database, ada)
    with pytest.raises(IllegalTransition, match="cancel it first"):
        remove(database, train)
    hand.take().succeed({}, model=b"weights")
    with database.transaction() as session:
        model = session.scalars(select(Model.id)).one()
    by_job, by_id = (
        submitted(database, ada, {"kind": "evaluate", "dataset": "digits", "model": name}) for name in (train.id, model)
    )
    for needing in (by_job, by_id):
        with pytest.raises(Conflict, match=rf"{needing.id}, which is \w+, needs"):
            remove(database, train)
        with database.transaction() as session:
            wish.cancel(session, session.get_one(Job, needing.id))
        with pytest.raises(Conflict, match="which is cancelled, needs"):  # it may be tried again
            remove(database, train)
        remove(database, needing)
    remove(database, train)


def test_a_part_of_a_study_goes_with_the_study_alone(database: Database, hand: Hand) -> None:
    study = submitted(database, person(database, "ada"), STUDY)
    hand.do_everything()
    with database.transaction() as session:
        (part, *_) = read.children(session, session.get_one(Job, study.id))
    with pytest.raises(Conflict, match=study.id):
        remove(database, part)


def test_every_table_that_refers_to_jobs_is_thought_of() -> None:
    """A new one cascades, or `delete_job` sees to it."""
    keys = [key for table in Table.metadata.sorted_tables for key in table.foreign_keys]
    by_hand = {str(key.parent) for key in keys if str(key.column) == "jobs.id" and key.ondelete != "CASCADE"}
    assert by_hand == {"jobs.study_id", "needs.needs_id", "datasets.job_id", "models.job_id"}


def test_a_submission_that_names_a_model_keeps_it(database: Database, hand: Hand) -> None:
    """The one that deletes waits for the one that submits, and then sees its job."""
    ada = person(database, "ada")
    train = submitted(database, ada)
    hand.take().succeed({}, model=b"weights")
    refused: list[Conflict] = []

    def deleting() -> None:
        try:
            remove(database, train)
        except Conflict as conflict:
            refused.append(conflict)

    with database.transaction() as session:
        model = session.scalars(select(Model.id)).one()
        spec = parse({"kind": "evaluate", "dataset": "digits", "model": model})
        submit.submit(session, owner=ada, spec=spec)
        thread = threading.Thread(target=deleting)
        thread.start()
        eventually(lambda: blocked(database), 60)
    thread.join()
    assert [conflict.code for conflict in refused] == ["still_needed"]


def blocked(database: Database) -> bool:
    """Does a connection wait for another one's lock? Asked anew each time: a transaction sees one picture only."""
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with database.transaction() as session:
        return bool(session.scalar(text(waiting)))


def test_garbage_is_marked_and_later_deleted(database: Database, hand: Hand, blobs: DiskBlobs) -> None:
    ada = person(database, "ada")
    first = submitted(database, ada)
    hand.take().succeed({}, model=b"first")
    second = submitted(database, ada)
    hand.take().succeed({}, model=b"second", picture=b"first")
    remove(database, second)
    done = collect(database, blobs, wait_seconds=3600)
    assert (done.marked, done.deleted) == (1, 0)
    assert sorted(rows(database).values()) == ["deleting", "present"]
    assert len(stored(blobs)) == 2, "a download may have begun"
    long_ago = update(Blob).where(Blob.state == "deleting").values(changed_at=func.now() - text("interval '2 hours'"))
    with database.transaction() as session:
        session.execute(long_ago)
    done = collect(database, blobs, wait_seconds=3600)
    assert (done.deleted, done.bytes) == (1, 6)
    remove(database, first)
    collect(database, blobs, wait_seconds=0)
    assert rows(database) == {}
    assert stored(blobs) == set()


def test_what_was_put_and_never_published_goes(database: Database, blobs: DiskBlobs) -> None:
    put(blobs, b"orphan")
    (blobs.root / "arriving" / "half").write_bytes(b"ha")
    done = collect(database, blobs, wait_seconds=3600)
    assert (done.unpublished, done.cleared) == (0, 0), "it may be about to be published"
    done = collect(database, blobs, wait_seconds=-1)
    assert (done.unpublished, done.deleted, done.cleared) == (1, 1, 1)
    assert not [path for path in blobs.root.rglob("*") if path.is_file() and path.name != "source"]


def test_publishing_takes_back_a_mark(database: Database, blobs: DiskBlobs) -> None:
    kept = put(blobs, b"again")
    collect(database, blobs, wait_seconds=3600)
    with database.transaction() as session:
        garbage.adopt(session, list(blobs.everything()))
    assert rows(database) == {kept[0]: "deleting"}
    with database.transaction() as session:
        publish_blobs(session, blobs, [kept])
    with database.transaction() as session:
        assert garbage.remove(session, blobs, kept[0], wait_seconds=0) is None
    assert stored(blobs) == {kept[0]}


def test_what_was_deleted_meanwhile_is_put_again(database: Database, blobs: DiskBlobs) -> None:
    kept = put(blobs, b"again")
    collect(database, blobs, wait_seconds=-1)
    with pytest.raises(BlobMissing), database.transaction() as session:
        publish_blobs(session, blobs, [kept])
    assert rows(database) == {}
    put(blobs, b"again")
    with database.transaction() as session:
        publish_blobs(session, blobs, [kept])
    assert rows(database) == {kept[0]: "present"}


@pytest.mark.parametrize("collector_first", [False, True])
def test_publisher_and_collector_wait_for_each_other(
    database: Database, blobs: DiskBlobs, collector_first: bool
) -> None:
    kept = put(blobs, b"both")
    with database.transaction() as session:
        garbage.adopt(session, list(blobs.everything()))
    found: list[object] = []

    def publishing() -> None:
        try:
            with database.transaction() as session:
                publish_blobs(session, blobs, [kept])
            found.append("published")
        except BlobMissing:
            found.append("missing")

    def removing() -> None:
        with database.transaction() as session:
            found.append(garbage.remove(session, blobs, kept[0], wait_seconds=0))

    thread = threading.Thread(target=publishing if collector_first else removing)
    with database.transaction() as session:
        if collector_first:
            assert garbage.remove(session, blobs, kept[0], wait_seconds=0) == 4
        else:
            publish_blobs(session, blobs, [kept])
        thread.start()
        eventually(lambda: blocked(database), 60)
    thread.join()
    assert found == (["missing"] if collector_first else [None])
    assert blobs.holds(*kept) is not collector_first


def test_a_mark_sees_what_was_published_while_it_waited(database: Database, hand: Hand, blobs: DiskBlobs) -> None:
    """A row that a publisher holds is left alone; one that it has just let go is looked at anew."""
    submitted(database, person(database, "ada"))
    attempt = hand.take()
    kept = put(blobs, b"checkpoint")
    with database.transaction() as session:
        publish_blobs(session, blobs, [kept])
    with database.transaction() as session:
        id, fence = attempt.claim.job_id, attempt.claim.fence
        renew.add_checkpoint(session, id, fence, step=1, sha256=kept[0], size=kept[1], blobs=blobs)
        with database.transaction() as other:
            assert garbage.mark(other) == 0
    with database.transaction() as session:
        assert garbage.mark(session) == 0


def test_old_checkpoints_logs_and_events_are_forgotten(database: Database, hand: Hand, blobs: DiskBlobs) -> None:
    ada = person(database, "ada")
    old, new = submitted(database, ada), submitted(database, ada)
    for _ in range(2):
        attempt = hand.take()
        attempt.record(("log", {"message": "hello"}), ("progress", {"phase": "epochs", "step": 1, "total": 2}))
        sha256, size = put(blobs, attempt.claim.job_id.encode())
        with database.transaction() as session:
            id, fence = attempt.claim.job_id, attempt.claim.fence
            renew.add_checkpoint(session, id, fence, step=1, sha256=sha256, size=size, blobs=blobs)
        attempt.fail()
    with database.transaction() as session:
        long_ago = func.now() - text("interval '400 days'")
        session.execute(update(Job).where(Job.id == old.id).values(finished_at=long_ago))
    settings = Settings(DATABASE_URL="", REDIS_URL="", home=blobs.root)
    done = forget(database, settings)
    assert (done.checkpoints, done.logs, done.events) == (1, 1, 2)
    assert {event.type for event in events(database, old.id)} == {"state"}
    assert states(database, old.id) == ["queued", "running", "failed"]
    assert {event.type for event in events(database, new.id)} == {"state", "log", "progress", "checkpoint"}
    with database.transaction() as session:
        assert [row.job_id for row in session.scalars(select(JobCheckpoint))] == [new.id]
    assert forget(database, settings).events == 0


def test_one_round_at_a_time(database: Database) -> None:
    with database.alone(garbage.ROUND) as mine, database.alone(garbage.ROUND) as other:
        assert (mine, other) == (True, False)
    with database.alone(garbage.ROUND) as mine:
        assert mine
