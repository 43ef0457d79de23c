"""What is looked at often is read on the event loop, in no transaction: who may not look is turned away first."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from api.app import create_app
from store import accounts
from store.database import LOOKS, UNUSED_SECONDS, Database
from store.settings import Settings

TRAIN = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 2}
OFTEN = ("/v1/jobs", "/v1/jobs?state=queued", "/v1/queue", "/v1/jobs/{job}")


@pytest.fixture
def hurried(settings: Settings, keys: dict[str, str]) -> Iterator[TestClient]:
    """Ada, who may ask ten times at once, and once a second after that."""
    told = settings.model_copy(update={"requests_per_second": 1.0})
    with TestClient(create_app(told), headers={"Authorization": f"Bearer {keys['ada']}"}) as client:
        yield client


def test_who_may_not_look_is_not_told_what_else_is_wrong(
    visitor: TestClient, ada: TestClient, database: Database
) -> None:
    with database.transaction() as session:
        user = accounts.find_user(session, "ada")
        assert user is not None
        submits_only = accounts.create_key(session, user, scopes=["submit"])
    for path in ("/v1/jobs?limit=0", "/v1/jobs?created_after=now", "/v1/queue?limit=501"):
        assert visitor.get(path).status_code == 401, path
        assert visitor.get(path, headers={"Authorization": "Bearer sieve_0_0"}).status_code == 401, path
        refused = visitor.get(path, headers={"Authorization": f"Bearer {submits_only}"})
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope"), path
        assert ada.get(path).status_code == 422, path


def test_a_revoked_key_opens_nothing_from_then_on(ada: TestClient, database: Database) -> None:
    job = ada.post("/v1/jobs", json=TRAIN).json()["id"]
    paths = [path.format(job=job) for path in OFTEN]
    assert {ada.get(path).status_code for path in paths} == {200}
    with database.transaction() as session:
        user = accounts.find_user(session, "ada")
        assert user is not None
        accounts.reset_keys(session, user)
    assert {ada.get(path).status_code for path in paths} == {401}


def test_who_waits_for_a_job_has_asked_once(hurried: TestClient) -> None:
    job = hurried.post("/v1/jobs", json=TRAIN).json()["id"]
    waited = hurried.get(f"/v1/jobs/{job}", headers={"Prefer": "wait=1"})
    assert (waited.status_code, waited.headers["Preference-Applied"]) == (200, "wait=1")
    statuses = [hurried.get(f"/v1/jobs/{job}").status_code for _ in range(12)]
    assert statuses.count(200) >= 8
    assert statuses[-1] == 429


THERE = text("select pg_backend_pid()")


def _cut(database: Database, pid: object) -> None:
    other = Database(database.url)
    with other.transaction() as session:  # as a restart does
        session.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    other.dispose()


def test_connections_that_a_restart_has_cut_are_made_anew(database: Database) -> None:
    with database.transaction() as session:
        before = session.scalar(THERE)
    _cut(database, before)
    with database.transaction() as session:
        assert session.scalar(THERE) != before


@pytest.mark.parametrize("unused", [0.0, UNUSED_SECONDS])
def test_so_are_those_that_are_looked_with(database: Database, unused: float) -> None:
    async def looked() -> tuple[object, object]:
        before = await database.look(lambda session: session.scalar(THERE))
        assert await database.look(lambda session: session.scalar(THERE)) == before
        _cut(database, before)
        await asyncio.sleep(unused)
        after = await database.look(lambda session: session.scalar(THERE))
        await database.end_looks()
        return before, after

    before, after = asyncio.run(looked())
    assert before != after


def test_looking_begins_no_transaction(database: Database) -> None:
    now = text("select now()")

    async def looked() -> tuple[object, object]:
        seen = await database.look(lambda session: (session.scalar(now), session.scalar(now)))
        await database.end_looks()
        return seen

    first, second = asyncio.run(looked())
    assert first != second
    with database.transaction() as session:
        assert session.scalar(now) == session.scalar(now)


def test_while_one_look_waits_for_the_database_others_are_answered(database: Database) -> None:
    async def looked() -> list[str]:
        ended: list[str] = []

        async def one(name: str, seconds: float) -> None:
            await database.look(lambda session: session.execute(text("select pg_sleep(:n)"), {"n": seconds}))
            ended.append(name)

        await asyncio.gather(one("slow", 1.0), *(one("quick", 0) for _ in range(3 * LOOKS)))
        await database.end_looks()
        return ended

    assert asyncio.run(looked()) == ["quick"] * 3 * LOOKS + ["slow"]


@pytest.mark.full
def test_who_waits_for_a_server_that_does_not_answer_waits_no_longer_than_it_takes_to_give_up() -> None:
    with tempfile.TemporaryDirectory(prefix="sieve-") as folder, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{folder}/.s.PGSQL.5432")
        silent.listen(50)

        async def looked() -> list[object]:
            database = Database(f"postgresql+psycopg://ada@/sieve?host={folder}")
            looks = [database.look(lambda session: session.scalar(THERE)) for _ in range(2 * LOOKS)]
            return await asyncio.wait_for(asyncio.gather(*looks, return_exceptions=True), 20)

        assert {type(one) for one in asyncio.run(looked())} == {OperationalError}
