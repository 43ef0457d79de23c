"""Slots of a real worker: shown, held, drained, kept off busy and broken GPUs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from local.postgres import Postgres
from local.redis import Redis
from store import accounts
from store.settings import Settings
from tests.driver import Driver, build
from tests.jobs import events, look
from tests.working import Workplace, eventually, workplace


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    return build(tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="module")
def place(
    postgres: Postgres, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory, driver: Driver
) -> Iterator[Workplace]:
    with workplace(postgres, redis_server.url, tmp_path_factory.mktemp("home")) as there:
        there.settings = {**driver.environment, "SIEVE_HOST": "gpu01", "SIEVE_DEVICES": "auto", "SIEVE_CPU_SLOTS": "1"}
        yield there


@pytest.fixture(scope="module")
def worker(place: Workplace, driver: Driver) -> Iterator[subprocess.Popen[bytes]]:
    """On a host with two GPUs, as its driver says; on both something else runs, and neither can compute."""
    driver.cards("30000 1", "2000 1")
    with place.working() as process:
        yield process


@pytest.fixture(scope="module")
def asking(place: Workplace) -> Iterator[dict[str, TestClient]]:
    """The API, asked by ada, who owns the jobs, by another member, and by an admin."""
    settings = Settings(DATABASE_URL=place.database_url, REDIS_URL=place.redis_url, home=place.home, lease_seconds=3)
    with TestClient(create_app(settings)) as visitor, place.database.transaction() as session:
        people = {
            "ada": place.owner,
            "bob": accounts.create_user(session, "bob", "member"),
            "root": accounts.create_user(session, "root", "admin"),
        }
        keys = {name: accounts.create_key(session, user) for name, user in people.items()}
        session.commit()
        yield {name: TestClient(visitor.app, headers={"Authorization": f"Bearer {key}"}) for name, key in keys.items()}


def slots(client: TestClient, host: str) -> dict[str, dict[str, Any]]:
    return {slot["name"]: slot for slot in client.get("/v1/slots").json()["data"] if slot["host"] == host}


def shown(client: TestClient, host: str, name: str, state: str) -> dict[str, Any]:
    """The slot, once it is shown in this state."""

    def now() -> dict[str, Any] | None:
        slot = slots(client, host)[name]
        return slot if slot["state"] == state else None

    return eventually(now, 60)


def test_a_gpu_whose_memory_others_hold_is_avoided_and_said_so(
    place: Workplace, worker: subprocess.Popen[bytes], asking: dict[str, TestClient], driver: Driver
) -> None:
    first = shown(asking["bob"], "gpu01", "cuda:0", "avoided")
    assert first["why"] == "others hold 29.3 of 80.0 GiB of its memory: process-1 (process 1)"
    assert (first["host"], first["card"]["name"], first["card"]["utilisation"]) == ("gpu01", "Card No. 0", 40)
    assert first["card"]["holders"][0]["foreign"]
    assert asking["bob"].get("/readyz").json()["slots"] == 3
    job = place.submit(steps=1)
    driver.cards("30000 1", "lost")
    eventually(lambda: slots(asking["bob"], "gpu01")["cuda:1"]["why"] == "its GPU does not answer the driver", 60)
    assert look(place.database, job.id).state == "queued", "nobody takes it"
    place.cancel(job)


def test_a_slot_on_which_two_jobs_crashed_is_tried_out_and_takes_no_third(
    place: Workplace, worker: subprocess.Popen[bytes], asking: dict[str, TestClient], driver: Driver
) -> None:
    driver.cards("0 0", "lost")  # the first is free now, and there is no CUDA to compute with
    crashing = [place.submit(ending="segfault") for _ in range(2)]
    why = eventually(
        lambda: said if "a trial fails: " in (said := slots(asking["bob"], "gpu01")["cuda:0"]["why"]) else None,
        60,
        place.log,
    )
    assert all(job.id in why for job in crashing)
    back = [look(place.database, job.id) for job in crashing]
    assert [(job.state, job.failures) for job in back] == [("queued", 1)] * 2, "no attempt was wasted on it"


@pytest.fixture(scope="module")
def two_slots(place: Workplace, worker: subprocess.Popen[bytes]) -> Iterator[None]:
    """Another host, with two slots on its CPU."""
    with place.working(SIEVE_HOST="cpu01", SIEVE_DEVICES="cpu", SIEVE_CPU_SLOTS="2"):
        yield


def test_a_drained_slot_lets_its_job_go_on_elsewhere(
    place: Workplace, two_slots: None, asking: dict[str, TestClient]
) -> None:
    job = place.submit(steps=60, seconds=0.1)
    eventually(lambda: events(place.database, job.id, "checkpoint"), 60)
    name = look(place.database, job.id).place.partition("/")[2]  # type: ignore[union-attr]
    busy = shown(asking["ada"], "cpu01", name, "busy")
    assert (busy["job"], busy["owner"], busy["kind"]) == (job.id, "ada", "rehearsal")
    assert slots(asking["bob"], "cpu01")[name]["job"] is None
    where = {"host": "cpu01", "slot": name}
    assert asking["ada"].post("/v1/slots/hold", json=where).status_code == 403
    assert asking["root"].post("/v1/slots/hold", json={"host": "cpu01", "slot": "cpu:9"}).status_code == 404
    held = asking["root"].post("/v1/slots/hold", json={**where, "drain": True, "reason": "new fan"}).json()["data"]
    assert [(one["slot"], one["by"], one["reason"]) for one in held] == [(name, "root", "new fan")]

    eventually(lambda: events(place.database, job.id, "resumed"), 60)
    started = [event.data["slot"] for event in events(place.database, job.id, "started")]
    assert started[0] == name
    assert started[1] != name
    assert look(place.database, job.id).failures == 0
    given_back = events(place.database, job.id, "state")[2].data
    assert (given_back["to"], given_back["message"]) == (
        "queued",
        f"stopped because cpu01 {busy['name']} is being drained: new fan",
    )
    now = shown(asking["bob"], "cpu01", name, "held")
    assert (now["why"], now["hold"]["drain"]) == ("held by root: new fan", True)
    asking["root"].post("/v1/slots/release", json=where)
    place.cancel(job)


def test_a_host_that_does_not_see_the_others_blobs_does_not_start(
    place: Workplace, two_slots: None, tmp_path: Path
) -> None:
    stranger = place.start(SIEVE_HOST="cpu02", SIEVE_BLOBS=str(tmp_path))
    assert stranger.wait(60) == 1
    assert "cpu02 does not see the blobs of the other hosts" in place.log()


def test_a_held_host_ends_what_it_has_and_takes_nothing_new(
    place: Workplace, two_slots: None, asking: dict[str, TestClient]
) -> None:
    first = place.submit(steps=15, seconds=0.1)
    place.until(first, "running")
    asking["root"].post("/v1/slots/hold", json={"host": "cpu01"})
    second = place.submit(steps=1)
    assert place.until(first).state == "succeeded"
    assert [slot["state"] for slot in slots(asking["bob"], "cpu01").values()] == ["held", "held"]
    assert look(place.database, second.id).state == "queued"
    (waiting,) = asking["ada"].get("/v1/queue").json()["data"]
    assert (waiting["job"], waiting["code"]) == (second.id, "held"), "the GPUs are out, and this host is held"
    left = asking["root"].post("/v1/slots/release", json={"host": "cpu01"}).json()["data"]
    assert left == asking["bob"].get("/v1/slots/holds").json()["data"] == []
    assert place.until(second).state == "succeeded"
