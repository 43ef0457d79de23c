"""What operators see: metrics, readiness, versions that do not fit, files that are gone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from local.postgres import Postgres
from store.blobs import DiskBlobs
from store.database import Database
from store.jobs import wish
from store.schema import Standing, standing
from store.settings import Settings
from tests.hand import Hand
from tests.jobs import TRAIN, events
from tests.working import Workplace, eventually, workplace


def metrics(client: TestClient) -> dict[tuple[str, ...], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_count_the_installation_and_the_requests(
    ada: TestClient, visitor: TestClient, hand: Hand, database: Database
) -> None:
    ids = [ada.post("/v1/jobs", json=TRAIN.model_dump(mode="json")).json()["id"] for _ in range(3)]
    hand.take().succeed({}, model=b"weights")
    with database.transaction() as session:
        session.execute(
            text("update jobs set attention = 'no progress' where id = :id"), {"id": hand.take().claim.job_id}
        )
    ada.get(f"/v1/jobs/{ids[0]}?secret=1")
    ada.get("/v1/nothing/here")
    found = metrics(visitor)
    assert found["sieve_jobs", "train", "queued"] == 1
    assert found["sieve_jobs", "train", "running"] == found["sieve_stalled",] == 1
    assert found["sieve_jobs", "train", "succeeded"] == 1
    assert found["sieve_queued", "0", "accelerator"] == 1
    assert found["sieve_oldest_queued_seconds",] >= 0
    assert (found["sieve_blob_bytes", "present"], found["sieve_blobs", "present"]) == (7, 1)
    assert found["sieve_database_up",] == 1
    assert found["sieve_requests_total", "POST", "/v1/jobs", "202"] == 3
    assert found["sieve_requests_total", "GET", "/v1/jobs/{job_id}", "200"] == 1
    assert found["sieve_requests_total", "GET", "other", "404"] == 1
    assert found["sieve_request_seconds_count", "POST", "/v1/jobs"] == 3


def test_a_request_is_a_line_without_its_query(ada: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "api.access"):
        ada.get("/v1/jobs?label=SECRET=1")
        ada.get("/v1/jobs/a%0Ab")
        ada.get("/healthz")
    lines = [record.getMessage() for record in caplog.records if record.name == "api.access"]
    assert lines == ["GET /v1/jobs 200", "GET /v1/jobs/a%0Ab 404"]


@pytest.mark.parametrize(
    ("statement", "stands"),
    [
        ("update alembic_version set version_num = 'of_tomorrow'", Standing.AHEAD),
        ("update alembic_version set version_num = '2026_11_23'", Standing.BEHIND),
        ("comment on table alembic_version is '99.0'", Standing.AHEAD),
        ("comment on table alembic_version is '0.0.1'", Standing.BEHIND),
        ("drop table alembic_version", Standing.BEHIND),
    ],
)
def test_a_database_of_another_version_is_not_ready(
    visitor: TestClient, database: Database, statement: str, stands: Standing
) -> None:
    assert visitor.get("/readyz").status_code == 200
    with database.transaction() as session:
        session.execute(text(statement))
        assert standing(session) is stands
    answer = visitor.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "other_version")
    assert str(stands) in answer.json()["detail"]
    assert visitor.get("/healthz").status_code == 200


def test_a_layout_that_lacks_something_is_told_as_such(ada: TestClient, database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("alter table jobs rename column labels to tags"))
    answer = ada.get("/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (503, "other_version")


@pytest.fixture
def place(postgres: Postgres, redis_url: str, tmp_path: Path) -> Iterator[Workplace]:
    with workplace(postgres, redis_url, tmp_path / "home") as there:
        yield there


def test_a_worker_waits_for_an_older_database_and_leaves_a_newer_one(place: Workplace) -> None:
    def note(version: str) -> None:
        with place.database.transaction() as session:
            session.execute(text(f"comment on table alembic_version is '{version}'"))

    note("0.0.1")
    with place.working() as worker:
        job = place.submit(steps=1)
        eventually(lambda: "takes no jobs: the database is of an older version" in place.log(), 60, place.log)
        assert place.until(job, "queued").fence == 0
        note("0.1.0")
        place.until(job, "succeeded")
        running = place.submit(steps=6, seconds=0.3)
        place.until(running, "running")
        note("99.0")
        eventually(lambda: "takes no jobs: the database is of a newer version" in place.log(), 60, place.log)
        waiting = place.submit(steps=1)
        place.until(running, "succeeded", seconds=60)
        assert worker.wait(30) == 75
        assert place.until(waiting, "queued").fence == 0


@pytest.mark.full
def test_a_resume_in_another_environment_is_flagged(place: Workplace) -> None:
    job = place.submit(steps=8, seconds=0.3)
    with place.working(SIEVE_SLOT_THREADS="1"):
        eventually(lambda: events(place.database, job.id, "checkpoint"), 60, place.log)
        place.ask(job, wish.pause)
        place.until(job, "paused")
    with place.working(SIEVE_SLOT_THREADS="2"):
        place.ask(job, wish.resume)
        ended = place.until(job, "succeeded")
    (resumed,) = events(place.database, job.id, "resumed")
    flag = f"at step {resumed.data['step']}: threads 1 -> 2"
    assert resumed.data["changes"] == [flag]
    assert ended.result is not None
    assert ended.result["resumed_elsewhere"] == [flag]
    said = [event.data["message"] for event in events(place.database, job.id, "log")]
    assert said == ["resumed in another environment (threads 1 -> 2): the result may differ in its bits"]


def test_owners_delete_what_has_ended(ada: TestClient, bob: TestClient, hand: Hand, settings: Settings) -> None:
    made = ada.post("/v1/jobs", json=TRAIN.model_dump(mode="json")).json()
    early = ada.delete(f"/v1/jobs/{made['id']}")
    assert (early.status_code, early.json()["code"]) == (409, "illegal_transition")
    hand.take().succeed({}, model=b"weights")
    (file,) = ada.get(f"/v1/jobs/{made['id']}/artifacts").json()["data"]
    DiskBlobs(settings.blobs).delete(file["sha256"])
    missing = ada.get(file["url"])
    assert (missing.status_code, missing.json()["code"]) == (503, "file_missing")
    assert bob.delete(f"/v1/jobs/{made['id']}").status_code == 404
    assert ada.delete(f"/v1/jobs/{made['id']}").status_code == 204
    for path in (f"/v1/jobs/{made['id']}", file["url"]):
        assert ada.get(path).status_code == 404
    assert ada.delete(f"/v1/jobs/{made['id']}").status_code == 404
