"""`Idempotency-Key` on every POST: a repeated request gives the first answer again, and does nothing."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from PIL import Image
from sqlalchemy import func, select, update

from store import idempotency, retention
from store.database import Database
from store.settings import Settings
from store.tables import ApiKey, Delivery, IdempotencyKey, Job, Table, Upload, Webhook
from tests.hand import Hand

TRAIN = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 2}
UPLOAD = {"name": "pets.zip", "size": 10}
HOOK = {"url": "https://hooks.example.org/"}
KEY = {"Idempotency-Key": "once"}


def count(database: Database, table: Any) -> int:
    with database.transaction() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_every_post_of_the_interface_takes_the_key(visitor: TestClient) -> None:
    document = visitor.get("/openapi.json").json()
    posts = {path: methods["post"] for path, methods in document["paths"].items() if "post" in methods}
    assert len(posts) > 15
    for path, operation in posts.items():
        headers = [one["name"].lower() for one in operation["parameters"] if one["in"] == "header"]
        assert "idempotency-key" in headers, path
        assert {"409", "422"} <= set(operation["responses"]), path
        for status, answer in operation["responses"].items():
            if status < "300" and path != "/v1/jobs":
                assert "Idempotent-Replayed" in answer["headers"], path


def test_the_same_key_and_body_give_the_first_answer_again(ada: TestClient, database: Database) -> None:
    first = ada.post("/v1/uploads", json=UPLOAD, headers=KEY)
    again = ada.post("/v1/uploads", content=json.dumps(UPLOAD, indent=1), headers=KEY | JSON)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert count(database, Upload) == 1
    assert ada.post("/v1/uploads", json=UPLOAD, headers={"Idempotency-Key": "twice"}).json() != first.json()
    ada.post("/v1/uploads", json=UPLOAD)
    assert count(database, Upload) == 3


JSON = {"Content-Type": "application/json"}


def test_another_body_or_path_is_refused(ada: TestClient, bob: TestClient, database: Database) -> None:
    upload = ada.post("/v1/uploads", json=UPLOAD, headers=KEY).json()
    others: list[tuple[str, dict[str, Any]]] = [("/v1/uploads", UPLOAD | {"size": 11}), ("/v1/webhooks", HOOK)]
    for path, body in [*others, ("/v1/jobs", TRAIN)]:
        answer = ada.post(path, json=body, headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused"), path
    job = ada.post("/v1/jobs", json=TRAIN, headers={"Idempotency-Key": "of a job"})
    assert job.status_code == 202
    assert ada.post("/v1/uploads", json=UPLOAD, headers={"Idempotency-Key": "of a job"}).status_code == 422
    assert (count(database, Upload), count(database, Webhook), count(database, Job)) == (1, 0, 1)
    assert bob.post("/v1/uploads", json=UPLOAD, headers=KEY).json()["id"] != upload["id"], "keys are each user's own"


def test_in_flight_is_told(ada: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.idempotency._IN_FLIGHT_SECONDS", 0.05)
    owner = ada.get("/v1/me").json()["id"]
    with database.transaction() as session:
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{owner} once", 0))))
        answer = ada.post("/v1/uploads", json=UPLOAD, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_in_flight")
    assert answer.headers["Retry-After"] == "1"
    assert ada.post("/v1/uploads", json=UPLOAD, headers=KEY).status_code == 201


def test_what_is_asked_at_once_is_done_once(ada: TestClient, database: Database) -> None:
    def announce(_: int) -> Response:
        while True:
            answer = ada.post("/v1/uploads", json=UPLOAD, headers=KEY)
            if answer.status_code != 503 and answer.json().get("code") != "idempotency_key_in_flight":
                return answer

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(announce, range(16)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert count(database, Upload) == 1


def test_what_is_made_and_its_answer_are_one_transaction(
    ada: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the two, or the database goes away: neither is there."""
    kept = idempotency.keep_answer

    def dies(*_: Any) -> None:
        kept(*_)
        raise RuntimeError

    monkeypatch.setattr("store.idempotency.keep_answer", dies)
    assert ada.post("/v1/uploads", json=UPLOAD, headers=KEY).status_code == 500
    assert (count(database, Upload), count(database, IdempotencyKey)) == (0, 0)
    monkeypatch.undo()
    assert ada.post("/v1/uploads", json=UPLOAD, headers=KEY).status_code == 201


def test_what_was_refused_may_be_tried_again(ada: TestClient, database: Database) -> None:
    assert ada.post("/v1/uploads", json=UPLOAD | {"size": 0}, headers=KEY).status_code == 422
    assert count(database, IdempotencyKey) == 0
    assert ada.post("/v1/uploads", json=UPLOAD, headers=KEY).status_code == 201


def test_a_secret_is_shown_once_and_not_kept(root: TestClient, database: Database) -> None:
    root.post("/v1/users", json={"name": "eve"})
    shown = []
    for path, body in {
        "/v1/keys": {"name": "ci"},
        "/v1/users": {"name": "zoe"},
        "/v1/users/eve/reset-keys": None,
        "/v1/webhooks": HOOK,
    }.items():
        key = {"Idempotency-Key": f"once {path}"}
        first = root.post(path, json=body, headers=key)
        assert first.status_code == 201, first.text
        shown.append(first.json().get("key") or first.json()["secret"])
        again = root.post(path, json=body, headers=key)
        assert (again.status_code, again.json()["code"]) == (409, "shown_once")
        assert first.json().get("id", "") in again.json()["detail"]
        assert shown[-1] not in again.text
    assert (count(database, Webhook), count(database, ApiKey)) == (1, 7)
    with database.transaction() as session:
        for table in Table.metadata.sorted_tables:
            rows = " ".join(map(str, session.execute(select(table)).all()))
            for secret in shown:
                assert secret not in rows
                assert re.split(r"_", secret, maxsplit=2)[-1] not in rows, table.name


def test_every_secret_in_an_answer_is_marked(visitor: TestClient) -> None:
    """A schema whose field is called `key` or `secret` and is text: its format says that it is not kept."""
    found = 0
    for schema in visitor.get("/openapi.json").json()["components"]["schemas"].values():
        for name, field in schema.get("properties", {}).items():
            if "hown this once" in field.get("description", "") or name in ("secret", "token"):
                assert field["format"] == "password", (schema["title"], name)
                found += 1
    assert found == 4


def test_who_may_not_ask_gets_no_earlier_answer(root: TestClient, visitor: TestClient) -> None:
    """The key that asked may be used for less now, or its user be no admin any more: that is looked at first."""
    weak = root.post("/v1/keys", json={"scopes": ["read", "submit"]}).json()["key"]
    asker = TestClient(visitor.app, headers={"Authorization": f"Bearer {weak}"})
    for path, body in {"/v1/users": {"name": "eve"}, "/v1/webhooks": HOOK}.items():
        key = {"Idempotency-Key": f"once {path}"}
        assert root.post(path, json=body, headers=key).status_code == 201
        assert asker.post(path, json=body, headers=key).status_code == 403


def test_others_that_make_something(ada: TestClient, root: TestClient, hand: Hand, database: Database) -> None:
    job = ada.post("/v1/jobs", json=TRAIN).json()["id"]
    synthesis = {"kind": "synthesize", "dataset": "digits", "model": job, "construction": {"method": "random_target"}}
    made = ada.post("/v1/jobs", json=synthesis).json()["id"]
    hand.do_everything()
    dataset = ada.get(f"/v1/jobs/{made}").json()["outputs"]["dataset"]
    export = {"format": "npz"}
    first = ada.post(f"/v1/datasets/{dataset}/exports", json=export, headers=KEY)
    hand.do_everything()
    again = ada.post(f"/v1/datasets/{dataset}/exports", json=export, headers=KEY)
    assert (first.status_code, again.status_code) == (202, 202)
    assert (first.json(), first.headers["Location"]) == (again.json(), again.headers["Location"])
    hook = ada.post("/v1/webhooks", json=HOOK).json()["id"]
    before = count(database, Delivery)
    pings = [ada.post(f"/v1/webhooks/{hook}/ping", headers={"Idempotency-Key": "ping"}) for _ in range(2)]
    assert {answer.status_code for answer in pings} == {202}
    assert pings[0].json() == pings[1].json()
    assert count(database, Delivery) == before + 1
    stopped = [ada.post(f"/v1/jobs/{job}/retry", headers={"Idempotency-Key": "retry"}) for _ in range(2)]
    assert {answer.status_code for answer in stopped} == {409}, "what was refused is looked at anew"


def test_a_folder_is_registered_once(root: TestClient, tmp_path: Path) -> None:
    for at in (0, 1):
        path = tmp_path / "pets" / "train" / f"class{at}" / "image.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)
    body = {"name": "pets", "folder": str(tmp_path / "pets")}
    answers = [root.post("/v1/datasets", json=body, headers=KEY) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {201}, answers[1].text
    assert answers[0].json() == answers[1].json()
    assert root.post("/v1/datasets", json=body).status_code == 409


def test_answers_are_kept_for_a_day_and_jobs_keys_as_long_as_their_job(
    ada: TestClient, database: Database, settings: Settings
) -> None:
    first = ada.post("/v1/uploads", json=UPLOAD, headers=KEY).json()["id"]
    job = ada.post("/v1/jobs", json=TRAIN, headers={"Idempotency-Key": "of a job"}).json()["id"]
    age(database, idempotency.KEPT - timedelta(minutes=1))
    retention.forget(database, settings)
    assert ada.post("/v1/uploads", json=UPLOAD, headers=KEY).json()["id"] == first
    age(database, timedelta(minutes=2))
    assert ada.post("/v1/uploads", json=UPLOAD | {"size": 11}, headers=KEY).json()["id"] != first
    age(database, idempotency.KEPT + timedelta(minutes=1))
    assert count(database, IdempotencyKey) == 2
    retention.forget(database, settings)
    assert count(database, IdempotencyKey) == 1
    assert ada.post("/v1/jobs", json=TRAIN, headers={"Idempotency-Key": "of a job"}).json()["id"] == job


def age(database: Database, by: timedelta) -> None:
    with database.transaction() as session:
        session.execute(update(IdempotencyKey).values(created_at=IdempotencyKey.created_at - by))
