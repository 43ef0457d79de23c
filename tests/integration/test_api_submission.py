"""Submitting over HTTP: what is good becomes jobs, what is bad names its field and leaves no row."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import func, select

from benchmarks.absurd import absurd
from core.cards import KINDS
from store.database import Database
from store.tables import Job
from tests.hand import Hand

TRAIN: dict[str, Any] = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 2}
STUDY: dict[str, Any] = {"kind": "study", "preset": "digits"}


def rows(database: Database) -> int:
    with database.transaction() as session:
        return session.scalars(select(func.count()).select_from(Job)).one()


def test_a_job_comes_back_whole(ada: TestClient) -> None:
    beside = {"name": "first", "labels": {"paper": "table 2"}, "priority": 1}
    answer = ada.post("/v1/jobs", json=TRAIN | beside)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == job["urls"]["self"] == f"/v1/jobs/{job['id']}"
    assert job["state"] == "queued"
    assert job["owner"] == "ada"
    assert {key: job[key] for key in beside} == beside
    assert job["spec"]["epochs"] == 2
    assert job["spec"]["learning_rate"] == 0.2, "defaults are filled in"
    assert not set(beside) & set(job["spec"]), "what is beside the spec is no part of it"
    assert job["produces"]["model"]["shape"] == [1, 8, 8]
    assert job["produces"]["model"]["architecture"]["name"] == "convnet"
    assert [change["state"] for change in job["state_history"]] == ["queued"]
    assert ada.get(answer.headers["Location"]).json() == job


def test_a_study_comes_with_its_jobs_and_their_progress_summed(ada: TestClient, hand: Hand) -> None:
    study = ada.post("/v1/jobs", json=STUDY).json()
    nodes = [child["node"] for child in study["children"]]
    assert len(nodes) == 19
    assert nodes[-1] == "report"
    assert study["progress"] == {"phase": "0 of 19 jobs", "step": 0, "total": 1900, "eta_seconds": None}
    first = hand.take()
    first.progress("training", 1, 3)
    first.succeed({}, model=b"weights")
    hand.take().progress("training", 10, 40)
    now = ada.get(f"/v1/jobs/{study['id']}").json()
    assert now["state"] == "running"
    assert (now["progress"]["phase"], now["progress"]["step"]) == ("1 of 19 jobs", 125)
    assert now["children"][0]["progress"] == {"phase": "training", "step": 3, "total": 3, "eta_seconds": None}
    assert now["children"][1]["progress"] == {"phase": "training", "step": 10, "total": 40, "eta_seconds": None}
    listed = ada.get("/v1/jobs", params={"study": "none"}).json()["data"]
    assert [row["progress"]["step"] for row in listed] == [125]


def test_a_dry_run_plans_and_makes_nothing(ada: TestClient, database: Database) -> None:
    answer = ada.post("/v1/jobs", params={"dry_run": True}, json=STUDY)
    assert answer.status_code == 200
    jobs = {job["node"]: job for job in answer.json()["jobs"]}
    assert jobs["0/train/D_R"]["needs"] == ["@0/synthesize/D_R"]
    assert jobs["0/synthesize/D_R"]["produces"]["dataset"]["train_images"] == 1437
    alone = ada.post("/v1/jobs", params={"dry_run": True}, json=TRAIN).json()["jobs"]
    assert [job["kind"] for job in alone] == ["train"]
    assert rows(database) == 0


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no kind": ({}, "/kind", "train"),
    "unknown kind": ({"kind": "trian"}, "/kind", "did you mean 'train'?"),
    "a kind that only the service makes": ({"kind": "report"}, "/kind", "no kind of job"),
    "unknown dataset": (TRAIN | {"dataset": "digit"}, "/dataset/name", "did you mean 'digits'?"),
    "unknown architecture": (TRAIN | {"architecture": "convet"}, "/architecture/name", "did you mean 'convnet'?"),
    "unknown field": (TRAIN | {"epocs": 3}, "/epocs", "did you mean 'epochs'?"),
    "unknown inner field": (TRAIN | {"adversary": {"epsilom": 1}}, "/adversary/epsilom", "did you mean 'epsilon'?"),
    "unknown field of a union": (
        TRAIN | {"schedule": {"name": "one_cycle", "warm_up": 0.1}},
        "/schedule/warm_up",
        "did you mean 'warmup'?",
    ),
    "unknown option of a dataset": (
        TRAIN | {"dataset": {"name": "digits", "options": {"sise": 16}}},
        "/dataset/options/sise",
        "",
    ),
    "unknown option of an architecture": (
        TRAIN | {"architecture": {"name": "convnet", "options": {"width": [8]}}},
        "/architecture/options/width",
        "",
    ),
    "missing field": ({"kind": "train", "architecture": "convnet"}, "/dataset", "required"),
    "epsilon below 0": (TRAIN | {"adversary": {"epsilon": -1}}, "/adversary/epsilon", "greater than or equal to 0"),
    "no epochs": (TRAIN | {"epochs": 0}, "/epochs", "greater than or equal to 1"),
    "absurdly many epochs": (TRAIN | {"epochs": 10**9}, "/epochs", "less than or equal to 10000"),
    "not a number": (TRAIN | {"learning_rate": "NaN"}, "/learning_rate", "finite"),
    "an untagged union": (TRAIN | {"schedule": {"warmup": 0.1}}, "/schedule", "say which"),
    "a value of the wrong type": (
        TRAIN | {"dataset": {"name": "digits", "options": {"size": {"a": 1}}}},
        "/dataset/options/size",
        "boolean",
    ),
    "an inner field of a study": (STUDY | {"training": {"epochs": 0}}, "/training/epochs", "greater than"),
    "an unknown preset": (STUDY | {"preset": "digit"}, "/preset", "did you mean 'digits'"),
    "a preset that is no name": (STUDY | {"preset": ["digits"]}, "/preset", "there is no preset"),
    "an unknown attack": (
        STUDY | {"evaluation": {"attacks": ["pdg"]}},
        "/evaluation/attacks/0/name",
        "did you mean 'pgd'?",
    ),
    "somebody's words in a label": (TRAIN | {"labels": {"a": "b\x00"}}, "/labels/a", ""),
    "no such priority": (TRAIN | {"priority": 9}, "/priority", ""),
    "no such model": (
        {"kind": "evaluate", "dataset": "digits", "model": "mdl_none"},
        "/model/name",
        "there is no model 'mdl_none'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_bad_names_its_field_and_leaves_no_row(ada: TestClient, database: Database, case: str) -> None:
    body, pointer, words = BAD[case]
    answer = ada.post("/v1/jobs", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    errors = {error["pointer"]: error["message"] for error in answer.json()["errors"]}
    assert list(errors) == [pointer]
    assert words in errors[pointer]
    assert rows(database) == 0


def test_every_field_that_is_wrong_is_named_at_once(ada: TestClient) -> None:
    errors = ada.post("/v1/jobs", json={"kind": "train", "epochs": 0, "seed": -1}).json()["errors"]
    assert {error["pointer"] for error in errors} == {"/dataset", "/architecture", "/epochs", "/seed"}


def test_models_of_another_shape_and_jobs_that_failed_are_refused(
    ada: TestClient, bob: TestClient, hand: Hand, database: Database
) -> None:
    trained = ada.post("/v1/jobs", json=TRAIN | {"dataset": {"name": "digits", "options": {"size": 16}}}).json()["id"]
    evaluation = {"kind": "evaluate", "dataset": "digits", "model": trained}

    def refused(who: TestClient, pointer: str) -> str:
        before = rows(database)
        answer = who.post("/v1/jobs", json=evaluation)
        assert answer.status_code == 422
        assert rows(database) == before
        (error,) = answer.json()["errors"]
        assert error["pointer"] == pointer
        return str(error["message"])

    assert "(1, 16, 16)" in refused(ada, "/dataset")
    assert f"there is no job '{trained}'" in refused(bob, "/model/name"), "somebody else's does not exist"
    hand.take().fail()
    assert refused(ada, "/model/name") == f"{trained} failed"


def test_the_same_key_and_body_make_one_job_even_at_once(ada: TestClient, database: Database) -> None:
    headers = {"Idempotency-Key": "k1"}

    def submit(_: int) -> Response:
        while True:  # on a machine that does much else the first may keep the others waiting for long
            answer = ada.post("/v1/jobs", json=TRAIN, headers=headers)
            if answer.status_code != 503 and answer.json().get("code") != "idempotency_key_in_flight":
                return answer

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, range(24)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert rows(database) == 1
    reused = ada.post("/v1/jobs", json=TRAIN | {"epochs": 3}, headers=headers)
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert ada.post("/v1/jobs", json=TRAIN, headers={"Idempotency-Key": "k2"}).json()["id"] != answers[0].json()["id"]


def test_a_kind_whose_spec_takes_the_name_of_what_is_beside_it_is_refused_at_the_start() -> None:
    from api.submission import check_kinds
    from sieve.specs import Spec

    class Odd(Spec):
        kind: str = "odd"
        labels: int = 0

    train = KINDS.get("train")
    check_kinds([train])
    with pytest.raises(RuntimeError, match="labels"):
        check_kinds([type(train)(name="odd", summary="", spec=Odd, slot="cpu", check=train.check)])


def test_absurd_submissions_are_refused_by_name_and_leave_nothing(ada: TestClient, database: Database) -> None:
    for body in absurd(120, seed=1):
        answer = ada.post("/v1/jobs", content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, (body, answer.text)
        assert answer.json()["errors"], body
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0


def test_another_submission_with_the_same_key_in_flight_is_told_to_come_again(
    ada: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.idempotency._IN_FLIGHT_SECONDS", 0.05)
    owner = ada.get("/v1/me").json()["id"]
    with database.transaction() as session:
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{owner} k", 0))))
        answer = ada.post("/v1/jobs", json=TRAIN, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_in_flight")
    assert answer.headers["Retry-After"] == "1"
    assert ada.post("/v1/jobs", json=TRAIN, headers={"Idempotency-Key": "k"}).status_code == 202
