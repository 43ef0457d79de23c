"""Looking at jobs over HTTP: pages, filters, waiting, verbs, the queue; and that nobody sees what is not theirs."""

from __future__ import annotations

import threading
import time
from typing import Any

from fastapi.testclient import TestClient

from store import workers
from store.database import Database
from tests.hand import Hand

TRAIN: dict[str, Any] = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 2}


def submitted(who: TestClient, **beside: Any) -> str:
    return str(who.post("/v1/jobs", json=TRAIN | beside).json()["id"])


def listed(who: TestClient, **params: Any) -> list[str]:
    return [job["id"] for job in who.get("/v1/jobs", params=params).json()["data"]]


def test_pages_follow_each_other_while_new_jobs_come(ada: TestClient) -> None:
    ids = [submitted(ada) for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = ada.get("/v1/jobs", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [job["id"] for job in page["data"]]
        cursor = page["next"]
        submitted(ada)
        if cursor is None:
            break
    assert seen == ids[::-1]
    for text in ("%%%", "\u00e9", "_w"):
        nonsense = ada.get("/v1/jobs", params={"cursor": text})
        assert (nonsense.status_code, nonsense.json()["errors"][0]["pointer"]) == (422, "cursor")


def test_filters(ada: TestClient, root: TestClient, hand: Hand) -> None:
    labelled = submitted(ada, labels={"paper": "table=2"})
    hand.take().fail()
    roots = submitted(root, priority=1)
    evaluation = {"kind": "evaluate", "dataset": "digits", "model": roots}
    judged = root.post("/v1/jobs", json=evaluation).json()["id"]
    assert listed(root, state="failed") == [labelled]
    assert listed(root, state="queued,blocked") == [judged, roots]
    assert listed(root, kind="evaluate") == [judged]
    assert listed(root, owner="ada") == [labelled]
    assert listed(root, owner="nobody") == []
    assert listed(root, label="paper=table=2") == [labelled]
    assert listed(root, label="paper=table") == []
    study = ada.post("/v1/jobs", json={"kind": "study", "preset": "digits"}).json()
    assert set(listed(ada, study=study["id"])) == {child["id"] for child in study["children"]}
    assert listed(ada, study="none") == [study["id"], labelled]
    assert ada.get("/v1/jobs", params={"state": "lost"}).json()["errors"][0]["pointer"] == "state"


def test_what_belongs_to_another_does_not_exist(
    ada: TestClient, bob: TestClient, root: TestClient, visitor: TestClient, hand: Hand
) -> None:
    job = submitted(ada)
    hand.take().succeed({}, model=b"weights")
    model = ada.get(f"/v1/jobs/{job}").json()["outputs"]["model"]
    (artifact,) = ada.get(f"/v1/jobs/{job}/artifacts").json()["data"]
    paths = [f"/v1/jobs/{job}{part}" for part in ("", "/events", "/metrics", "/logs", "/artifacts")]
    paths += [artifact["url"], f"/v1/models/{model}", f"/v1/models/{model}/weights"]
    for path in paths:
        statuses = [who.get(path).status_code for who in (visitor, bob, ada, root)]
        assert statuses == [401, 404, 200, 200], path
    for verb in ("cancel", "pause", "resume", "retry"):
        path = f"/v1/jobs/{job}/{verb}"
        assert [who.post(path).status_code for who in (visitor, bob, ada)] == [401, 404, 409], path
    assert listed(bob) == []
    assert bob.get("/v1/models").json()["data"] == []
    assert listed(root) == [job]


def test_verbs_are_idempotent_and_refuse_what_cannot_be(ada: TestClient) -> None:
    job = submitted(ada)
    for verb, state in (("pause", "paused"), ("pause", "paused"), ("resume", "queued"), ("resume", "queued")):
        answer = ada.post(f"/v1/jobs/{job}/{verb}")
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    for _ in range(2):
        answer = ada.post(f"/v1/jobs/{job}/cancel").json()
        assert (answer["state"], answer["status_reason"]["code"]) == ("cancelled", "cancelled_by_user")
    refused = ada.post(f"/v1/jobs/{job}/pause")
    assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")
    assert ada.post(f"/v1/jobs/{job}/retry").json()["state"] == "queued"
    history = [change["state"] for change in ada.get(f"/v1/jobs/{job}").json()["state_history"]]
    assert history == ["queued", "paused", "queued", "cancelled", "queued"]


def test_cancelling_a_study_cancels_its_jobs(ada: TestClient) -> None:
    study = ada.post("/v1/jobs", json={"kind": "study", "preset": "digits"}).json()
    ended = ada.post(f"/v1/jobs/{study['id']}/cancel").json()
    assert ended["state"] == "cancelled"
    assert {child["state"] for child in ended["children"]} == {"cancelled"}


def test_waiting_answers_as_soon_as_the_job_has_ended(ada: TestClient, hand: Hand) -> None:
    job = submitted(ada)
    attempt = hand.take()
    start = time.monotonic()
    still = ada.get(f"/v1/jobs/{job}", headers={"Prefer": "wait=1"})
    assert still.json()["state"] == "running"
    assert still.headers["Preference-Applied"] == "wait=1"
    assert time.monotonic() - start >= 1.0
    threading.Timer(0.5, attempt.fail).start()
    start = time.monotonic()
    assert ada.get(f"/v1/jobs/{job}", headers={"Prefer": "respond-async, wait=60"}).json()["state"] == "failed"
    assert time.monotonic() - start < 55.0


def test_waiting_holds_no_connection(ada: TestClient, settings: Any, keys: dict[str, str], hand: Hand) -> None:
    job = submitted(ada)
    attempt = hand.take()
    waiting = [
        threading.Thread(target=ada.get, args=(f"/v1/jobs/{job}",), kwargs={"headers": {"Prefer": "wait=60"}})
        for _ in range(30)  # more than the pool has connections
    ]
    for thread in waiting:
        thread.start()
    time.sleep(0.5)
    start = time.monotonic()
    assert ada.get("/v1/me").status_code == 200
    assert time.monotonic() - start < 50.0
    attempt.fail()
    for thread in waiting:
        thread.join(50)
        assert not thread.is_alive()


def test_the_queue_says_who_is_ahead_and_hides_the_rest(ada: TestClient, bob: TestClient, database: Database) -> None:
    first, second = submitted(ada, priority=1), submitted(bob)
    rows = bob.get("/v1/queue").json()["data"]
    assert [(row["place"], row["owner"], row["priority"], row["mine"]) for row in rows] == [
        (1, "ada", 1, False),
        (2, "bob", 0, True),
    ]
    assert [row["job"] for row in rows] == [None, second]
    assert [row["job"] for row in ada.get("/v1/queue").json()["data"]] == [first, None]
    assert {row["reason"] for row in rows} == {"no worker that takes such jobs is running"}
    slots = [{"name": "cpu:0", "device": "cpu", "takes": ["accelerator"], "job": None}]
    with database.transaction() as session:
        workers.register(session, "wrk_1", host="here", pid=1, version="0", slots=slots)
    reasons = [row["reason"] for row in bob.get("/v1/queue").json()["data"]]
    assert reasons == ["it is next: it waits for a slot", "1 job is ahead of it"]
    (worker,) = bob.get("/v1/workers").json()["data"]
    assert worker["alive"]
    assert worker["slots"] == [
        {"name": "cpu:0", "device": "cpu", "takes": ["accelerator"], "busy": False, "out": False}
    ]
