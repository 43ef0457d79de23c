"""Lists of the jobs that have a label: with every other filter, page by page, and as labels come and go."""

from __future__ import annotations

import threading
import time

import pytest
from alembic import command
from fastapi.testclient import TestClient
from sqlalchemy import select, text

from local.migrations import config, migrate
from store.database import Database
from store.schema import Standing, standing
from store.tables import Job, JobLabel, User
from tests.hand import Hand
from tests.integration.test_api_reading import listed, submitted

NOTED_BEFORE = "2026_11_26_answers"
"""The last schema without a table of labels."""
NOT_NOTED = "2026_11_26_labels"
"""The schema whose table is not filled yet."""


def noted(database: Database) -> dict[str, dict[str, str]]:
    """Labels by job, as their table has them."""
    with database.transaction() as session:
        rows = session.scalars(select(JobLabel)).all()
        owners = dict(session.execute(select(Job.id, Job.owner_id)).all())
        assert all(row.owner_id == owners[row.job_id] for row in rows)
        found: dict[str, dict[str, str]] = {}
        for row in rows:
            found.setdefault(row.job_id, {})[row.key] = row.value
        return found


def test_a_label_with_every_other_filter(ada: TestClient, bob: TestClient, root: TestClient, hand: Hand) -> None:
    two, three = {"paper": "2", "lab": "vision"}, {"paper": "3", "lab": "vision"}
    failed = submitted(ada, labels=two)
    hand.take().fail()
    first, other, bobs = (submitted(who, labels=labels) for who, labels in ((ada, two), (ada, three), (bob, two)))
    study = ada.post("/v1/jobs", json={"kind": "study", "preset": "digits", "labels": two}).json()
    children = [child["id"] for child in study["children"]]
    label = {"label": "paper=2"}
    assert listed(ada, **label, study="none") == [study["id"], first, failed]
    assert listed(ada, **label, state="failed") == [failed]
    assert listed(ada, **label, state="failed", kind="evaluate") == []
    assert set(listed(ada, **label, kind="train,study")) >= {study["id"], first, failed}
    assert set(listed(ada, **label, study=study["id"])) == set(children)
    assert listed(ada, label="paper=3") == [other]
    assert listed(bob, label="lab=vision") == [bobs]
    assert listed(bob, **label) == [bobs]
    assert listed(root, **label, owner="bob") == [bobs]
    assert listed(root, **label, study="none") == [study["id"], bobs, first, failed]
    ada.patch(f"/v1/jobs/{first}", json={"shared": True})
    assert listed(bob, **label, shared=True) == [first]
    assert listed(bob, label="paper=3", shared=True) == []
    made = ada.get(f"/v1/jobs/{first}").json()["created_at"]
    assert listed(ada, **label, created_before=made) == [failed]


def test_pages_of_a_label(ada: TestClient) -> None:
    ids = [submitted(ada, labels={"n": str(number % 2)}) for number in range(9)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = ada.get("/v1/jobs", params={"label": "n=0", "limit": "2", "state": "queued", **cursor}).json()
        seen += [job["id"] for job in page["data"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == ids[::-2]


def test_what_is_far_down_the_list_is_found_too(ada: TestClient, root: TestClient, database: Database) -> None:
    made = """
        insert into jobs (id, kind, owner_id, spec, labels, slot, state)
        select 'job_' || lpad(n::text, 26, '0'), (array['train', 'evaluate'])[1 + n % 2], users.id, '{}',
               jsonb_build_object('n', cast(n % 3 as text)), 'cpu', case when n < 40 then 'failed' else 'succeeded' end
        from generate_series(1, 900) n join users on users.name = (array['ada', 'bob'])[1 + n / 7 % 2]
    """
    with database.transaction() as session:
        session.execute(text(made))
        rows = session.execute(select(Job.id, Job.kind, Job.state, Job.owner_id, Job.labels).order_by(Job.id.desc()))
        jobs = [row for row in rows if row.labels == {"n": "1"}]
        adas = session.scalar(select(User.id).where(User.name == "ada"))
    for who, visible in ((ada, [job for job in jobs if job.owner_id == adas]), (root, jobs)):
        for beside in ({}, {"state": "failed"}, {"state": "succeeded"}, {"kind": "train"}, {"state": "paused"}):
            wanted = [job.id for job in visible if all(getattr(job, name) == value for name, value in beside.items())]
            for limit in (1, 7, 50, 450):
                assert listed(who, label="n=1", limit=limit, **beside) == wanted[:limit]
                if len(wanted) > limit:
                    cursor = who.get("/v1/jobs", params={"label": "n=1", "limit": limit, **beside}).json()["next"]
                    assert listed(who, label="n=1", limit=limit, cursor=cursor, **beside) == wanted[limit:][:limit]


@pytest.mark.parametrize(
    "odd", ["'", "''; drop table jobs; --", "\\", "\\'", "%s", "%(key)s", ":key", "$1", "\u00e9", "{x}", "E'"]
)
def test_a_label_may_be_any_text(ada: TestClient, odd: str) -> None:
    job = submitted(ada, labels={f"k{odd}": f"v{odd}", "other": "x"})
    submitted(ada, labels={"k": "v"})
    for beside in ({}, {"state": "queued"}, {"kind": "train", "study": "none"}):
        assert listed(ada, label=f"k{odd}=v{odd}", **beside) == [job]
        assert listed(ada, label=f"k{odd}=v", **beside) == []


def test_labels_come_and_go(ada: TestClient, database: Database, hand: Hand) -> None:
    job = submitted(ada, labels={"paper": "2", "rest": "as it was"})
    plain = submitted(ada)
    assert noted(database) == {job: {"paper": "2", "rest": "as it was"}}
    ada.patch(f"/v1/jobs/{job}", json={"labels": {"paper": "3"}})
    ada.patch(f"/v1/jobs/{plain}", json={"labels": {"late": "yes"}})
    ada.patch(f"/v1/jobs/{plain}", json={"name": "another"})
    assert (listed(ada, label="paper=2"), listed(ada, label="paper=3")) == ([], [job])
    assert noted(database) == {job: {"paper": "3"}, plain: {"late": "yes"}}
    ada.patch(f"/v1/jobs/{job}", json={"labels": {}})
    assert noted(database) == {plain: {"late": "yes"}}
    for id in (job, plain):
        ada.post(f"/v1/jobs/{id}/cancel")
        assert ada.delete(f"/v1/jobs/{id}").status_code == 204
    assert noted(database) == {}


@pytest.mark.parametrize("times", [1, 2])
def test_labels_of_the_jobs_that_there_were_are_noted(ada: TestClient, database: Database, times: int) -> None:
    ids = [submitted(ada, labels={"n": str(number), "lab": "vision"}) for number in range(3)]
    bare = submitted(ada)
    for _ in range(times):
        command.downgrade(config(database.url), NOTED_BEFORE)
        with database.transaction() as session:
            assert session.scalar(text("select to_regclass('job_labels')")) is None
        migrate(database.url)
    assert noted(database) == {id: {"n": str(number), "lab": "vision"} for number, id in enumerate(ids)}
    ada.patch(f"/v1/jobs/{bare}", json={"labels": {"lab": "vision"}})
    assert listed(ada, label="lab=vision") == [bare, *ids[::-1]]


def test_a_job_that_is_being_deleted_is_not_noted(ada: TestClient, database: Database) -> None:
    kept, gone = (submitted(ada, labels={"lab": "vision"}) for _ in range(2))
    command.downgrade(config(database.url), NOT_NOTED)
    upgrade = threading.Thread(target=migrate, args=(database.url,))
    with database.transaction() as session:
        session.execute(text("delete from job_labels"))
    with database.transaction() as session:
        session.execute(text("delete from events where job_id = :id"), {"id": gone})
        session.execute(text("delete from jobs where id = :id"), {"id": gone})
        upgrade.start()
        time.sleep(1)
    upgrade.join(60)
    assert noted(database) == {kept: {"lab": "vision"}}
    with database.transaction() as session:
        assert standing(session) is Standing.SAME
