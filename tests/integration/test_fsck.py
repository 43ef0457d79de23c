"""fsck: silent where all is well, loud where a row or a file is not as it should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from local.__main__ import main
from store import fsck
from store.blobs import DiskBlobs
from store.database import Database
from tests.hand import Hand
from tests.jobs import STUDY, person, submitted

WRONGS = {
    "update blobs set state = 'deleting'": "which is marked for deletion",
    "update artifacts set size = size + 1": "the blob has",
    "update artifacts set name = 'a'": "files are called a",
    "delete from models": "it succeeded, and has made 0 of what it should, a model",
    "update artifacts set role = 'data' where role = 'dataset'": "its file is not a dataset of its job",
    "update jobs set lease_until = now() where kind = 'train'": "and has a lease",
    "update jobs set finished_at = null where kind = 'train'": "finished_at says otherwise",
    "update jobs set last_event = 0": "and the row says 0",
    "update jobs set state = 'failed' where kind = 'report'": "its history ends with succeeded",
    "delete from events where type = 'state' and data ->> 'to' = 'running'": "when it was queued",
    "update events set data = jsonb_set(data, '{from}', '\"succeeded\"') where data ->> 'to' = 'running'": (
        "it went from succeeded to running"
    ),
    "update jobs set state = 'blocked', waiting_for = 0 where kind = 'report'": "waits for 0 jobs, in truth for 0",
    "update jobs set state = 'running' where kind = 'report'": "it runs without a worker",
    "update job_labels set value = 'another'": "it has the label lab=vision, and is not found by it",
    "insert into job_labels select job_id, 'more', 'x', owner_id from job_labels": "is found by the label more=x",
    "update jobs set state = 'queued' where kind = 'train'": "is a study, succeeded, of whose jobs",
}


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def done(database: Database, blobs: DiskBlobs) -> Database:
    """A study that has ended."""
    submitted(database, person(database, "ada"), STUDY, labels={"lab": "vision"})
    Hand(database, blobs).do_everything()
    return database


def found(database: Database, blobs: DiskBlobs) -> list[str]:
    findings = [*fsck.rows(database), *fsck.bytes_of(database, blobs)]
    return [finding.message for finding in findings if finding.wrong]


def test_every_wrong_row_is_found(done: Database, blobs: DiskBlobs) -> None:
    assert found(done, blobs) == []
    for statement, message in WRONGS.items():
        with done.engine.connect() as connection:
            transaction = connection.begin()
            connection.execute(text(statement))
            seen = [
                one.format(*row) for one, query in fsck.INVARIANTS.items() for row in connection.execute(text(query))
            ]
            transaction.rollback()
        if "from succeeded" not in message:
            assert [one for one in seen if message in one], f"{statement}: {seen[:3]}"
    with done.transaction() as session:
        statement = next(statement for statement, message in WRONGS.items() if "from succeeded" in message)
        session.execute(text(statement))
    assert [one for one in found(done, blobs) if "it went from succeeded to running" in one]


@pytest.mark.parametrize("harm", ["missing", "short", "flipped"])
def test_every_harmed_file_is_found(done: Database, blobs: DiskBlobs, harm: str) -> None:
    kept = next(iter(blobs.everything()))
    path = blobs.path(kept.sha256)
    data = path.read_bytes()
    path.unlink()
    if harm != "missing":
        path.write_bytes(data[:-1] if harm == "short" else bytes([data[0] ^ 1]) + data[1:])
    (message,) = found(done, blobs)
    assert kept.sha256 in message
    assert ("damaged" in message) is (harm == "flipped")


def test_the_command_says_what_is_wrong_and_ends_with_one(
    done: Database, database_url: str, blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://",
        "SIEVE_HOME": str(blobs.root.parent),
    }.items():
        monkeypatch.setenv(name, value)
    from store.settings import settings

    settings.cache_clear()
    try:
        run = CliRunner().invoke(main, ["admin", "fsck"])
        assert (run.exit_code, run.stdout) == (0, "everything is as it should be\n")
        with done.transaction() as session:
            session.execute(text("update artifacts set size = 5 where role = 'dataset'"))
        run = CliRunner().invoke(main, ["admin", "fsck", "--quick", "--json"])
        assert run.exit_code == 1
        assert "should have 5 bytes" in json.loads(run.stdout)["wrong"][0]
        run = CliRunner().invoke(main, ["admin", "gc", "--wait", "0"])
        assert run.exit_code == 0
        assert "deleted: 0 files" in run.stdout
    finally:
        settings.cache_clear()
