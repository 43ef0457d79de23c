"""Jobs that are shared out: what becomes of shares and whole; and two real hosts, one of which is killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from core.errors import SpecRefused
from local.postgres import Postgres
from local.redis import Redis
from sieve.specs import StudySpec
from store import workers
from store.database import Database
from store.errors import IllegalTransition
from store.jobs import wish
from store.jobs.shards import shares
from store.tables import Artifact, Job, User
from tests.drills.rows import two_hosts
from tests.drills.stage import Stage
from tests.hand import Hand
from tests.jobs import TRAIN, look, parts, person, submitted


@pytest.fixture
def ada_herself(database: Database) -> User:
    return person(database, "ada_herself")


def synthesis(model: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "synthesize", "dataset": "digits", "model": model, "construction": {"method": "robust"}} | fields


def shared_out(database: Database, owner: User, hand: Hand, count: int = 3) -> tuple[Job, list[Job]]:
    """A synthesis whose model is there, and its shares."""
    model = submitted(database, owner)
    hand.take().succeed({}, model=b"weights")
    whole = submitted(database, owner, synthesis(model.id), shards=count, priority=1, name="large")
    return whole, of(database, whole)


def of(database: Database, whole: Job) -> list[Job]:
    with database.transaction() as session:
        return list(session.scalars(select(Job).where(Job.shard_of == whole.id).order_by(Job.id)))


def stand(database: Database, whole: Job) -> list[str]:
    """The states of the shares, then that of the whole."""
    return [job.state for job in [*of(database, whole), look(database, whole.id)]]


def ask(database: Database, job: Job, wished: Any) -> None:
    with database.transaction() as session:
        wished(session, session.get_one(Job, job.id))


def test_shares_come_first_and_the_whole_puts_them_together(database: Database, ada_herself: User, hand: Hand) -> None:
    whole, made = shared_out(database, ada_herself, hand)
    assert [(job.kind, job.slot, job.name, job.priority) for job in made] == [
        ("shard", "accelerator", f"{number} of 3", 1) for number in (1, 2, 3)
    ]
    assert (whole.kind, whole.slot, whole.shards, whole.waiting_for) == ("synthesize", "cpu", 3, 3)
    assert stand(database, whole) == ["queued", "queued", "queued", "blocked"]
    for number in (1, 2, 3):
        hand.take().succeed({"at_once": {}, "seconds": 1.0}, part=str(number).encode())
    last = hand.take()
    assert last.claim.job_id == whole.id
    last.succeed({}, dataset=b"images")
    assert stand(database, whole) == ["succeeded"] * 4
    with database.transaction() as session:
        kept = session.scalars(
            select(Artifact.job_id).where(Artifact.job_id.in_([whole.id, *(job.id for job in made)]))
        )
        assert list(kept) == [whole.id], "what the shares left is of no use any more"


def test_cancelled_paused_and_resumed_they_are_together(database: Database, ada_herself: User, hand: Hand) -> None:
    whole, _ = shared_out(database, ada_herself, hand)
    running = hand.take()
    ask(database, whole, wish.pause)
    assert stand(database, whole) == ["running", "paused", "paused", "paused"]
    assert look(database, running.claim.job_id).wish == "pause"
    ask(database, whole, wish.resume)
    assert stand(database, whole) == ["running", "queued", "queued", "blocked"]
    ask(database, whole, wish.cancel)
    assert stand(database, whole) == ["running", "cancelled", "cancelled", "cancelled"]
    assert look(database, running.claim.job_id).wish == "cancel"
    with pytest.raises(IllegalTransition, match="still being cancelled"):
        ask(database, whole, wish.retry)


def test_a_share_that_fails_fails_the_whole_and_all_are_tried_again(
    database: Database, ada_herself: User, hand: Hand
) -> None:
    whole, made = shared_out(database, ada_herself, hand)
    hand.take().succeed({"at_once": {}, "seconds": 1.0}, part=b"1")
    hand.take().fail("not a number")
    assert stand(database, whole) == ["succeeded", "failed", "cancelled", "failed"]
    failed = look(database, whole.id)
    assert failed.status_message == f"{made[1].id}, share 2 of 3, failed: not a number"
    assert failed.status_code == "diverged"
    with pytest.raises(IllegalTransition, match=f"does a share of {whole.id}"):
        ask(database, made[1], wish.retry)
    ask(database, whole, wish.retry)
    assert stand(database, whole) == ["succeeded", "queued", "queued", "blocked"]


def test_a_cancelled_share_cancels_the_whole(database: Database, ada_herself: User, hand: Hand) -> None:
    whole, made = shared_out(database, ada_herself, hand)
    ask(database, made[2], wish.cancel)
    assert stand(database, whole) == ["cancelled", "cancelled", "cancelled", "cancelled"]


def test_a_study_shares_out_its_syntheses_and_evaluations(database: Database, ada_herself: User, hand: Hand) -> None:
    spec = {"kind": "study", "preset": "digits"}
    plain = parts(database, submitted(database, ada_herself, spec))
    study = submitted(database, ada_herself, StudySpec.model_validate(spec), shards=2)
    shared = parts(database, study)
    assert shared.keys() - plain.keys() == {
        f"{node}/{number} of 2"
        for node, job in plain.items()
        if job.kind in ("synthesize", "evaluate")
        for number in (1, 2)
    }
    assert {job.state for job in shared.values()} == {"queued", "blocked"}
    source, share = shared["0/train/D_adv"], shared["0/synthesize/D_R/1 of 2"]
    assert share.spec["job"]["model"]["name"] == source.id
    hand.do_everything()
    assert look(database, study.id).state == "succeeded"


def test_how_many_shares(database: Database, ada_herself: User) -> None:
    with database.transaction() as session:
        assert [shares(session, asked, 6) for asked in (1, 4, 100)] == [1, 4, 6]
        assert shares(session, 100, None) == 100, "not known before the files are read"
        assert shares(session, "auto", 196) == 1, "no worker is there"
        slots = [{"name": name, "takes": ["accelerator"]} for name in ("cuda:0", "cuda:1", "cuda:2")]
        slots.append({"name": "cpu:0", "takes": ["cpu"]})
        workers.register(session, "wrk_1", host="a", pid=1, version="0", slots=slots)
        workers.register(session, "wrk_2", host="b", pid=1, version="0", slots=slots)
        assert [shares(session, "auto", blocks) for blocks in (196, 40, 15, 0, None)] == [6, 2, 1, 1, 1]
    with pytest.raises(SpecRefused, match="a train cannot be shared out"):
        submitted(database, ada_herself, TRAIN, shards=2)
    assert submitted(database, ada_herself, TRAIN, shards="auto").shards == 0


def test_the_api_shows_one_job(ada: TestClient, hand: Hand) -> None:
    model = ada.post("/v1/jobs", json=TRAIN.model_dump(mode="json")).json()["id"]
    body = synthesis(model, shards=3, name="large")
    assert ada.post("/v1/jobs", json=body | {"shards": 0}).json()["errors"][0]["pointer"].startswith("/shards")
    whole = ada.post("/v1/jobs", json=body).json()
    assert (whole["state"], whole["shard_of"], len(whole["children"])) == ("blocked", None, 3)
    share = ada.get(f"/v1/jobs/{whole['children'][0]['id']}").json()
    assert (share["shard_of"], share["node"]) == (whole["id"], "1 of 3")
    listed = [job["id"] for job in ada.get("/v1/jobs", params={"study": "none"}).json()["data"]]
    assert listed == [whole["id"], model]
    hand.take().succeed({}, model=b"weights")
    hand.take().succeed({"at_once": {}, "seconds": 1.0}, part=b"1")
    hand.take().progress("synthesis", 1, 2)
    progress = ada.get(f"/v1/jobs/{whole['id']}").json()["progress"]
    assert (progress["phase"], progress["step"], progress["total"]) == ("1 of 3 shares", 150, 300)
    ada.post(f"/v1/jobs/{whole['id']}/cancel")
    refused = ada.delete(f"/v1/jobs/{share['id']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "share_of_job")


@pytest.mark.timeout(300)
def test_two_hosts_one_killed(postgres: Postgres, redis_server: Redis, tmp_path: Path) -> None:
    """The long form: `make drills DRILLS=two_hosts`."""
    for trial in two_hosts.run(Stage(postgres, redis_server, tmp_path), 1):
        assert not trial.found, json.dumps(trial.found)
        assert set(trial.measured["shares_by"]) <= set(two_hosts.HOSTS)
        assert trial.measured["attempts_of_shares"] > two_hosts.SHARDS, "nothing was done again"
