"""Webhooks: written with the change that they tell of, signed, sent until they arrive."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from api.app import create_app
from api.courier import Courier
from store import outbox
from store.database import Database
from store.settings import Settings
from store.tables import Delivery, Webhook
from tests.hand import Hand

TRAIN = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 2}


@dataclass
class Receiver:
    """A receiver of a lab's own, on this machine."""

    url: str = ""
    status: int = 204
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(made.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(DATABASE_URL=database_url, REDIS_URL=redis_url, home=tmp_path / "home", webhook_allow="127.0.0.0/8")


@pytest.fixture
def visitor(settings: Settings) -> TestClient:
    return TestClient(create_app(settings), raise_server_exceptions=False)  # its courier is not started: tests send


@pytest.fixture
def courier(database: Database, settings: Settings) -> Courier:
    return Courier(database, settings)


def make_due(database: Database) -> None:
    with database.transaction() as session:
        session.execute(update(Delivery).where(Delivery.next_at.is_not(None)).values(next_at=func.now()))


def test_an_end_is_told_once_and_signed(
    ada: TestClient, bob: TestClient, hand: Hand, courier: Courier, receiver: Receiver
) -> None:
    made = ada.post("/v1/webhooks", json={"url": receiver.url}).json()
    assert bob.post("/v1/webhooks", json={"url": receiver.url}).status_code == 201  # who is not told of ada's
    job = ada.post("/v1/jobs", json=TRAIN | {"name": "first"}).json()["id"]
    hand.do_everything()
    assert courier.round() == 1
    assert courier.round() == 0
    ((headers, body),) = receiver.heard
    told = json.loads(body)
    assert (told["type"], told["data"]["id"], told["data"]["name"]) == ("job.succeeded", job, "first")
    secret = base64.b64decode(made["secret"].removeprefix("whsec_"))
    said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(secret, said, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    (row,) = ada.get(f"/v1/webhooks/{made['id']}/deliveries").json()["data"]
    assert (row["id"], row["attempts"], row["status"]) == (headers["webhook-id"], 1, 204)
    assert row["delivered_at"] is not None
    assert made["secret"] not in ada.get(f"/v1/webhooks/{made['id']}").text


def test_a_change_that_is_rolled_back_is_not_told_and_one_that_is_committed_is_not_lost(
    ada: TestClient, hand: Hand, database: Database, courier: Courier, receiver: Receiver
) -> None:
    ada.post("/v1/webhooks", json={"url": receiver.url, "events": ["job.failed"]})
    ada.post("/v1/jobs", json=TRAIN)
    attempt = hand.take()

    class Lost(Exception):
        pass

    def fail_and_roll_back() -> None:
        from store.jobs import finish

        with database.transaction() as session:
            finish.fail(session, attempt.claim.job_id, attempt.claim.fence, code="diverged", message="it broke")
            raise Lost

    with pytest.raises(Lost):
        fail_and_roll_back()
    assert courier.round() == 0
    attempt.fail()
    # A process that dies with a delivery in hand: it was taken, and never ticked off.
    with database.transaction() as session:
        ((delivery, _),) = outbox.due(session, limit=8, lease_seconds=60)
    assert courier.round() == 0
    make_due(database)
    assert courier.round() == 1
    assert [headers["webhook-id"] for headers, _ in receiver.heard] == [delivery.id]


def test_what_fails_is_tried_again_later_and_disabled_after_long(
    ada: TestClient, hand: Hand, database: Database, courier: Courier, receiver: Receiver
) -> None:
    hook = ada.post("/v1/webhooks", json={"url": receiver.url}).json()["id"]
    ada.post("/v1/jobs", json=TRAIN)
    hand.do_everything()
    receiver.status = 500
    for attempt in range(3):
        make_due(database)
        assert courier.round() == 1
        with database.transaction() as session:
            row = session.scalars(select(Delivery)).one()
            now = session.scalars(select(func.now())).one()
            assert (row.attempts, row.status) == (attempt + 1, 500)
            assert row.next_at is not None
            assert abs((row.next_at - now).total_seconds() - outbox.PAUSES[attempt]) < 5
    assert len({headers["webhook-id"] for headers, _ in receiver.heard}) == 1
    assert ada.get(f"/v1/webhooks/{hook}").json()["failing_since"] is not None
    with database.transaction() as session:
        session.execute(update(Webhook).values(failing_since=func.now() - outbox.PATIENCE * 2))
    make_due(database)
    courier.round()
    shown = ada.get(f"/v1/webhooks/{hook}").json()
    assert shown["disabled_at"] is not None
    assert "500" in shown["disabled_why"]
    assert ada.post(f"/v1/webhooks/{hook}/ping").status_code == 409
    receiver.status = 204
    assert ada.patch(f"/v1/webhooks/{hook}", json={"enabled": True}).json()["disabled_at"] is None
    assert ada.post(f"/v1/webhooks/{hook}/ping").status_code == 202
    courier.round()
    assert json.loads(receiver.heard[-1][1])["type"] == "ping"


def test_gone_means_gone(ada: TestClient, courier: Courier, receiver: Receiver) -> None:
    hook = ada.post("/v1/webhooks", json={"url": receiver.url}).json()["id"]
    ada.post(f"/v1/webhooks/{hook}/ping")
    receiver.status = 410
    courier.round()
    assert ada.get(f"/v1/webhooks/{hook}").json()["disabled_at"] is not None


def test_a_study_is_told_of_as_one(ada: TestClient, hand: Hand, courier: Courier, receiver: Receiver) -> None:
    ada.post("/v1/webhooks", json={"url": receiver.url})
    study = ada.post("/v1/jobs", json={"kind": "study", "preset": "digits"}).json()["id"]
    hand.do_everything()
    courier.round()
    assert [json.loads(body)["data"]["id"] for _, body in receiver.heard] == [study]


@pytest.mark.parametrize("url", ["https://10.0.0.1/", "http://example.org/", "ftp://example.org/", "https://u@h.org/"])
def test_a_bad_address_is_refused_by_name(ada: TestClient, url: str) -> None:
    answer = ada.post("/v1/webhooks", json={"url": url})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/url")


def test_an_address_that_resolves_to_a_private_one_gets_nothing(
    ada: TestClient, database: Database, settings: Settings, receiver: Receiver
) -> None:
    hook = ada.post("/v1/webhooks", json={"url": receiver.url.replace("http:", "https:")}).json()["id"]
    ada.post(f"/v1/webhooks/{hook}/ping")
    Courier(database, settings.model_copy(update={"webhook_allow": ""})).round()
    (row,) = ada.get(f"/v1/webhooks/{hook}/deliveries").json()["data"]
    assert row["error"].startswith("refused: ")
    assert receiver.heard == []
