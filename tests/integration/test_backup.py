"""A backup of a living server, restored into an empty place, is the same server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, text

from local.__main__ import main
from local.errors import LocalError
from local.postgres import Postgres
from store.blobs import DiskBlobs
from store.database import Database
from store.garbage import ROUND
from store.settings import settings
from store.tables import Artifact, Job
from tests.conftest import execute
from tests.hand import Hand
from tests.jobs import STUDY, look, person, states, submitted


class Server:
    """An installation that `admin` is told of through the environment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, url: str, home: Path) -> None:
        home.mkdir()
        self.home = home
        self.database = Database(url)
        self.blobs = DiskBlobs(home / "blobs")
        self._told = {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:9", "SIEVE_HOME": str(home)}
        self._monkeypatch = monkeypatch

    def admin(self, *arguments: object) -> Result:
        for name, value in self._told.items():
            self._monkeypatch.setenv(name, value)
        settings.cache_clear()
        try:
            return CliRunner().invoke(main, ["admin", *map(str, arguments)])
        finally:
            settings.cache_clear()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path) -> Iterator[Server]:
    made = Server(monkeypatch, database_url, tmp_path / "home")
    yield made
    made.database.dispose()


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch, postgres: Postgres, tmp_path: Path) -> Iterator[Server]:
    """With an empty database."""
    execute(postgres, "CREATE DATABASE restored")
    made = Server(monkeypatch, postgres.url("restored"), tmp_path / "other")
    yield made
    made.database.dispose()
    execute(postgres, "DROP DATABASE restored WITH (FORCE)")


def test_a_restored_server_is_the_same(server: Server, other: Server, tmp_path: Path) -> None:
    ada = person(server.database, "ada")
    study = submitted(server.database, ada, STUDY)
    hand = Hand(server.database, server.blobs)
    hand.take().succeed({"loss": 0.5}, model=b"weights", picture=b"png")
    running = hand.take()
    (made,) = list((run := server.admin("backup", tmp_path / "backups")).stdout.splitlines())
    assert run.exit_code == 0
    backup = Path(made.split(" is made")[0])
    manifest = json.loads((backup / "manifest.json").read_text())
    assert len(manifest["blobs"]) == 2

    run = other.admin("restore", backup)
    assert run.exit_code == 0, run.output + repr(run.exception)
    assert "fsck finds nothing wrong" in run.stdout
    assert "1 jobs that ran then are queued again" in run.stdout
    again = look(other.database, running.claim.job_id)
    assert (again.state, again.failures, again.status_code) == ("queued", 0, "restored")
    assert look(other.database, study.id).spec == study.spec
    for one in (server, other):
        with one.database.transaction() as session:
            files = {(row.name, row.sha256) for row in session.scalars(select(Artifact))}
        assert files
        assert {one.blobs.open(sha256).read() for _, sha256 in files} == {b"weights", b"png"}
    Hand(other.database, other.blobs).do_everything()
    assert look(other.database, study.id).state == "succeeded"
    assert states(other.database, running.claim.job_id)[-3:] == ["queued", "running", "succeeded"]
    run = other.admin("restore", backup)
    assert isinstance(run.exception, LocalError)
    assert "into an empty place alone" in str(run.exception)


def test_a_second_backup_copies_what_is_new_and_old_ones_can_go(server: Server, tmp_path: Path) -> None:
    ada, hand = person(server.database, "ada"), Hand(server.database, server.blobs)
    folder = tmp_path / "backups"
    made = []
    for data in (b"first", b"second"):
        submitted(server.database, ada)
        hand.take().succeed({}, model=data)
        assert server.admin("backup", folder).exit_code == 0
        (newest,) = [path.parent for path in folder.glob("*/manifest.json") if path.parent not in made]
        newest = newest.rename(newest.with_name(f"{len(made)}-{newest.name}"))  # two within one second
        made.append(newest)
    copies = DiskBlobs(folder / "blobs")
    assert len(list(copies.everything())) == 2
    with server.database.transaction() as session:
        session.execute(text("delete from models"))
        session.execute(text("delete from jobs where id = :id"), {"id": session.scalar(select(Job.id).limit(1))})
    run = server.admin("backup", folder, "--keep", "1")
    assert run.stdout.endswith("2 older ones are removed\n")
    assert len(list(copies.everything())) == 1


@pytest.mark.parametrize("harm", ["dump", "blob", "manifest"])
def test_a_harmed_backup_is_noticed(server: Server, other: Server, tmp_path: Path, harm: str) -> None:
    submitted(server.database, person(server.database, "ada"))
    Hand(server.database, server.blobs).take().succeed({}, model=b"weights")
    server.admin("backup", tmp_path / "backups")
    (backup,) = [path.parent for path in (tmp_path / "backups").glob("*/manifest.json")]
    (blob,) = DiskBlobs(tmp_path / "backups" / "blobs").everything()
    victim = {
        "dump": backup / "database.dump",
        "manifest": backup / "manifest.json",
        "blob": tmp_path / "backups" / "blobs" / blob.sha256[:2] / blob.sha256,
    }[harm]
    data = bytearray(victim.read_bytes())
    data[0] ^= 1
    victim.chmod(0o644)
    victim.write_bytes(data)
    run = other.admin("restore", backup)
    assert isinstance(run.exception, LocalError)
    assert "damaged" in str(run.exception) or "no backup" in str(run.exception)


def test_nothing_is_backed_up_while_garbage_is_collected(server: Server, tmp_path: Path) -> None:
    with server.database.alone(ROUND):
        for command in (["backup", tmp_path / "backups"], ["gc"]):
            assert "try again later" in str(server.admin(*command).exception)
    assert not (tmp_path / "backups").exists()


def test_the_doctor_says_what_is_to_be_done(server: Server) -> None:
    run = server.admin("doctor")
    assert "made for this version" in run.stdout
    assert "wrong" not in run.stdout
    assert "warning  Redis: " in run.stdout
    with server.database.transaction() as session:
        session.execute(text("update alembic_version set version_num = '2026_11_23'"))
    run = server.admin("doctor")
    assert run.exit_code == 1
    assert "wrong    the database is of an older version" in run.stdout
    assert "-> run `alembic upgrade head`" in run.stdout
