"""A dry run's estimates: what there is to say before anything was measured, after, and once jobs have been done."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient

from store.database import Database
from tests.hand import Hand
from tests.rates import HERE, STEP, WEIGHTS, measured, take, worker_comes

TRAIN = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 2}
STUDY = {"kind": "study", "preset": "digits"}


def dry(ada: TestClient, spec: Any) -> Any:
    answer = ada.post("/v1/jobs", params={"dry_run": True}, json=spec)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_without_a_worker_there_is_no_estimate_and_nothing_is_waited_for(ada: TestClient) -> None:
    plan = dry(ada, TRAIN)
    assert plan["jobs"][0]["estimate"]["seconds"] is None
    assert "no worker" in plan["estimate"]["missing"]
    assert not plan["estimate"]["pending"]


def test_a_network_is_measured_once_and_then_known(ada: TestClient, database: Database) -> None:
    worker_comes(database)
    first = dry(ada, TRAIN)
    assert first["estimate"]["pending"]
    assert "being measured" in first["jobs"][0]["estimate"]["missing"]
    measured(database)
    assert take(database) is None, "it is measured"
    plan = dry(ada, TRAIN)
    (job,) = plan["jobs"]
    steps = 2 * ((1437 - 144) // 64)
    assert abs(job["estimate"]["seconds"]["value"] - (0.1 + STEP * (steps + 2))) < 1e-6
    assert job["estimate"]["past_jobs"] == 0
    assert job["estimate"]["disk_bytes"] == WEIGHTS
    assert plan["estimate"]["seconds"] == job["estimate"]["seconds"]
    assert (plan["estimate"]["host"], plan["estimate"]["device"], plan["estimate"]["slots"]) == ("desk", "cpu", 2)
    assert take(database, software="second") is not None, "other versions measure again"


def test_two_workers_of_one_host_do_not_measure_the_same(ada: TestClient, database: Database) -> None:
    worker_comes(database)
    dry(ada, TRAIN)
    assert take(database) is not None
    assert take(database) is None


def test_a_measurement_that_fails_says_why(ada: TestClient, database: Database) -> None:
    worker_comes(database)
    dry(ada, TRAIN)
    measured(database, error="OutOfMemoryError: too large")
    plan = dry(ada, TRAIN)
    assert not plan["estimate"]["pending"]
    assert "too large" in plan["estimate"]["missing"]


def test_past_jobs_correct_the_estimate(ada: TestClient, database: Database, hand: Hand) -> None:
    worker_comes(database)
    dry(ada, TRAIN)
    measured(database)
    plain = dry(ada, TRAIN)["jobs"][0]["estimate"]["seconds"]["value"]
    for factor in (1.8, 1.9, 2.0, 2.1, 2.2):
        ada.post("/v1/jobs", json=TRAIN)
        hand.take().succeed(
            {}, taken={**HERE, "seconds": factor * plain, "memory": 1 << 29}, model=str(factor).encode()
        )
    found = dry(ada, TRAIN)["jobs"][0]["estimate"]
    assert found["past_jobs"] == 5
    assert abs(found["seconds"]["value"] / plain - 2.0) < 1e-6
    assert 1.8 < found["seconds"]["low"] / plain < 1.9
    assert abs(found["memory_bytes"]["value"] - (1 << 29)) < 2


def test_a_study_is_the_way_through_its_graph(ada: TestClient, database: Database) -> None:
    worker_comes(database)
    dry(ada, STUDY)
    measured(database)
    plan = dry(ada, STUDY)
    assert len(plan["jobs"]) == 19
    values = [job["estimate"]["seconds"]["value"] for job in plan["jobs"]]
    whole = plan["estimate"]
    assert abs(whole["slot_seconds"] - sum(values)) < 1e-6
    assert max(values) < sum(values) / 2 <= whole["seconds"]["value"] < sum(values)
    assert whole["seconds"]["low"] < whole["seconds"]["value"] < whole["seconds"]["high"]
    assert whole["disk_bytes"] == sum(job["estimate"]["disk_bytes"] for job in plan["jobs"])
