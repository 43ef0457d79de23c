"""The lab over HTTP: why jobs wait, what is used, limits, policy; and that only admins change them."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import text

from store import accounts, workers
from store.database import Database
from tests.hand import Hand

TRAIN: dict[str, Any] = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 2}


def submit(who: TestClient, **beside: Any) -> str:
    return str(who.post("/v1/jobs", json=TRAIN | beside).json()["id"])


def worker(database: Database, slots: int = 1) -> None:
    described = [
        {"name": f"cpu:{n}", "device": "cpu", "takes": ["cpu", "accelerator"], "job": None} for n in range(slots)
    ]
    with database.transaction() as session:
        workers.register(session, "wrk_1", host="here", pid=1, version="0", slots=described)


def why(who: TestClient, job: str) -> dict[str, Any]:
    return next(row for row in who.get("/v1/queue").json()["data"] if row["job"] == job)


def test_every_reason_to_wait_is_one_sentence(
    ada: TestClient, root: TestClient, database: Database, hand: Hand
) -> None:
    running, job = submit(ada), submit(ada)
    assert why(ada, job)["reason"] == "no worker that takes such jobs is running"
    worker(database)
    hand.take().progress("training", 1, 100)
    with database.transaction() as session:
        session.execute(text("update jobs set progress = progress || '{\"eta_seconds\": 300}' where state = 'running'"))
    assert why(ada, job)["code"] == "next"
    assert why(ada, job)["reason"] == (
        f"it is next: the slot is busy, for about 5 min more ({running}, a train of ada)"
    )
    assert 290 <= why(ada, job)["seconds_left"] <= 300
    with database.transaction() as session:
        workers.hold(session, accounts.create_user(session, "eve", "admin"), host="here", reason="new fans")
    assert why(ada, job)["reason"] == "every slot that takes such jobs takes nothing now (here cpu:0: new fans)"
    with database.transaction() as session:
        workers.release(session, host="here")
    other = submit(ada)
    assert why(ada, other)["reason"].startswith("1 job is ahead of it; the slot is busy, for about 5 min more")
    judged = ada.post("/v1/jobs", json={"kind": "evaluate", "dataset": "digits", "model": running}).json()["id"]
    assert why(ada, judged)["code"] == "inputs"
    assert why(ada, judged)["reason"] == f"it needs {running} (running, about 5 min more)"
    assert why(ada, judged)["place"] is None
    assert root.patch("/v1/users/ada/limits", json={"max_running": 1}).json()["running"] == {"used": 1, "limit": 1}
    assert why(ada, job)["reason"] == (
        "your jobs hold 1 of the 1 slot that they may hold at once; the first ends in about 5 min"
    )
    assert root.patch("/v1/policy", json={"maintenance": "new cards"}).json()["maintenance"] == "new cards"
    assert why(ada, job)["reason"] == "no job starts now: new cards"
    assert submit(ada), "submissions stay possible"
    assert root.patch("/v1/policy", json={"maintenance": None}).json()["maintenance"] is None


def test_spent_gpu_hours_say_when_they_are_counted_anew(ada: TestClient, root: TestClient, database: Database) -> None:
    gpu = {"name": "cuda:0", "device": "cuda:0", "takes": ["accelerator"], "job": None}
    with database.transaction() as session:
        workers.register(session, "wrk_1", host="here", pid=1, version="0", slots=[gpu])
        spent = "update accounts set week = date_trunc('week', now(), 'UTC'), week_gpu_seconds = 7300"
        session.execute(text(spent))
    root.patch("/v1/policy", json={"max_gpu_hours": 2})
    row = why(ada, submit(ada))
    assert row["code"] == "gpu_hours"
    assert row["reason"].startswith("2.0 of 2 GPU hours of this week are used: they are counted anew in ")
    assert row["reason"].endswith("(Monday 00:00 UTC)")


def test_only_admins_look_after_the_lab(ada: TestClient, root: TestClient) -> None:
    job = submit(ada)
    for method, path, body in (
        ("PATCH", "/v1/policy", {"max_running": 1}),
        ("PATCH", "/v1/users/ada/limits", {"max_running": -1}),
        ("POST", "/v1/users/ada/reset-keys", None),
        ("POST", f"/v1/jobs/{job}/front", None),
        ("GET", "/v1/standings", None),
        ("GET", "/v1/usage?user=root", None),
    ):
        answer = ada.request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "admins_only"), path
    assert ada.get("/v1/policy").json()["max_queued"] == 10_000
    assert root.post(f"/v1/jobs/{job}/front").json()["priority"] == 2
    assert root.patch("/v1/users/nobody/limits", json={}).status_code == 404
    assert root.patch("/v1/policy", json={"half_life_hours": 0}).status_code == 422
    assert [one["user"] for one in root.get("/v1/standings").json()["data"]] == ["ada", "bob", "root"]


def test_usage_and_deadlines_over_http(ada: TestClient, root: TestClient, hand: Hand) -> None:
    job = submit(ada, max_run_time=3600, max_queue_time=60)
    hand.take().succeed({}, model=b"weights")
    shown = ada.get(f"/v1/jobs/{job}").json()
    assert (shown["max_run_time"], shown["max_queue_time"], shown["attention"]) == (3600, 60, None)
    assert shown["cpu_seconds"] > 0
    assert shown["gpu_seconds"] == 0
    usage = root.get("/v1/usage", params={"user": "ada"}).json()
    assert usage["storage"]["used"] == 7
    assert usage["cpu_hours"] >= 0
    assert len(usage["days"]) == 1
    assert ada.post("/v1/jobs", json=TRAIN | {"max_run_time": 0}).json()["errors"][0]["pointer"] == "/max_run_time"
    root.patch("/v1/users/ada/limits", json={"max_queued": 0})
    refused = ada.post("/v1/jobs", json=TRAIN)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_queued")
    assert "ask an admin" in refused.json()["detail"]


def test_reset_keys_open_again(ada: TestClient, root: TestClient, visitor: TestClient) -> None:
    key = root.post("/v1/users/ada/reset-keys").json()["key"]
    assert ada.get("/v1/me").status_code == 401
    assert visitor.get("/v1/me", headers={"Authorization": f"Bearer {key}"}).json()["name"] == "ada"
