"""Cancel, pause, resume, retry: what each does in every state, once and twice; and whatever comes in whatever order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from store.database import Database
from store.errors import IllegalTransition
from store.jobs import claim, finish, submit, wish
from store.lifecycle import State
from store.tables import Job, User
from tests.jobs import NO_BLOBS, STUDY, TRAIN, look, parts, person, states, submitted
from tests.lifecycle import check

WISHES = {"cancel": wish.cancel, "pause": wish.pause, "resume": wish.resume, "retry": wish.retry}
REASON = {"code": "killed", "message": "killed"}


def bring(session: Session, job: Job, state: str) -> None:
    """A queued job into a state."""
    if state in ("running", "succeeded", "failed"):
        taken = claim.claim(session, worker_id="w", takes=["accelerator"], lease_seconds=60)
        assert taken is not None
        job.produces = None
        if state == "succeeded":
            finish.succeed(session, job.id, taken.fence, figures={}, files=[], blobs=NO_BLOBS)
        elif state == "failed":
            finish.fail(session, job.id, taken.fence, **REASON)
    elif state in ("paused", "cancelled"):
        (wish.pause if state == "paused" else wish.cancel)(session, job)


AFTERWARDS = {
    ("queued", "cancel"): "cancelled",
    ("queued", "pause"): "paused",
    ("queued", "resume"): "queued",
    ("queued", "retry"): "queued",
    ("running", "cancel"): "running, asked to cancel",
    ("running", "pause"): "running, asked to pause",
    ("running", "resume"): "running",
    ("running", "retry"): "running",
    ("paused", "cancel"): "cancelled",
    ("paused", "pause"): "paused",
    ("paused", "resume"): "queued",
    ("paused", "retry"): None,
    ("succeeded", "cancel"): None,
    ("succeeded", "pause"): None,
    ("succeeded", "resume"): None,
    ("succeeded", "retry"): None,
    ("failed", "cancel"): None,
    ("failed", "pause"): None,
    ("failed", "resume"): None,
    ("failed", "retry"): "queued",
    ("cancelled", "cancel"): "cancelled",
    ("cancelled", "pause"): None,
    ("cancelled", "resume"): None,
    ("cancelled", "retry"): "queued",
}
"""None: refused."""


@pytest.mark.parametrize(("state", "asked"), AFTERWARDS)
def test_each_wish_in_each_state(database: Database, state: str, asked: str) -> None:
    job = submitted(database, person(database, "ada"))
    with database.transaction() as session:
        bring(session, session.get_one(Job, job.id), state)
    expected = AFTERWARDS[state, asked]
    before = look(database, job.id).last_event
    for _ in range(2):
        with refusal(expected is None), database.transaction() as session:
            WISHES[asked](session, session.get_one(Job, job.id))
        now = look(database, job.id)
        assert now.state + (f", asked to {now.wish}" if now.wish else "") == (expected or state)
    assert now.last_event - before <= 1, "asking again changes nothing"


@contextmanager
def refusal(expected: bool) -> Iterator[None]:
    if expected:
        with pytest.raises(IllegalTransition):
            yield
    else:
        yield


def ask(database: Database, wished: Callable[[Session, Job], Job], job: Job) -> Job:
    with database.transaction() as session:
        return wished(session, session.get_one(Job, job.id))


def test_cancelling_a_study_cancels_all_of_it(database: Database) -> None:
    study = submitted(database, person(database, "ada"), STUDY)
    with database.transaction() as session:
        taken = claim.claim(session, worker_id="w", takes=["accelerator"], lease_seconds=60)
    assert taken is not None
    assert ask(database, wish.cancel, study).state == "running"
    by_state = [job.state for job in parts(database, study).values()]
    assert by_state == ["running", *["cancelled"] * 18]
    with database.transaction() as session:
        finish.release(session, taken.job_id, taken.fence, **REASON)
    assert states(database, study.id) == ["blocked", "running", "cancelled"]
    assert ask(database, wish.retry, study).state == "running"
    assert [job.state for job in parts(database, study).values()][:3] == ["queued", "queued", "blocked"]


def test_a_paused_study_goes_on_where_it_was(database: Database) -> None:
    study = submitted(database, person(database, "ada"), STUDY)
    before = {node: job.state for node, job in parts(database, study).items()}
    assert ask(database, wish.pause, study).state == "paused"
    assert {job.state for job in parts(database, study).values()} == {"paused"}
    assert ask(database, wish.resume, study).state == "blocked"
    assert {node: job.state for node, job in parts(database, study).items()} == before


def test_one_part_cancelled_and_tried_again(database: Database) -> None:
    study = submitted(database, person(database, "ada"), STUDY)
    source = parts(database, study)["0/train/D"]
    ask(database, wish.cancel, source)
    children = parts(database, study)
    assert children["0/train/D_rand"].state == "skipped"
    with pytest.raises(IllegalTransition, match="try that one again first"):
        ask(database, wish.retry, children["0/synthesize/D_rand"])
    ask(database, wish.retry, source)
    children = parts(database, study)
    assert children["0/train/D"].state == "queued"
    assert {job.state for node, job in children.items() if "/train/D" not in node} == {"blocked"}


@pytest.mark.parametrize("seed", range(2))
def test_whatever_comes_the_rules_hold(database: Database, seed: int) -> None:
    """A hundred and fifty random things happen to studies, and to single jobs that need parts of one."""
    draw = random.Random(seed)
    ada = person(database, "ada")
    source = parts(database, submitted(database, ada, STUDY))["0/synthesize/D_NR"]
    trained = submitted(database, ada, TRAIN.model_dump() | {"dataset": source.id})
    submitted(database, ada, {"kind": "evaluate", "dataset": "digits", "model": trained.id, "readings": [source.id]})
    for _ in range(150):
        with database.transaction() as session:
            happen(session, ada, draw)
        with database.transaction() as session:
            check(session)


def happen(session: Session, ada: User, draw: random.Random) -> None:
    jobs = session.scalars(select(Job).order_by(Job.id)).all()
    running = [job for job in jobs if job.state == State.RUNNING and job.slot != "none"]
    what = draw.choice(["claim"] * 6 + ["succeed"] * 5 + ["fail", "crash", "release", "sweep", "submit", *WISHES])
    if what == "claim":
        claim.claim(session, worker_id="w", takes=["cpu", "accelerator"], lease_seconds=draw.choice([-1, 60]))
    elif what == "submit":
        submit.submit(session, owner=ada, spec=STUDY.model_copy(update={"seeds": (draw.randrange(100),)}))
    elif what == "sweep":
        finish.take_from_the_lost(session, lease_seconds=0.01, max_failures=3)
    elif what in WISHES:
        try:
            with session.begin_nested():
                WISHES[what](session, draw.choice(jobs))
        except IllegalTransition:
            session.expire_all()
    elif running:
        job = draw.choice(running)
        if what == "succeed":
            job.produces = None
            finish.succeed(session, job.id, job.fence, figures={}, files=[], blobs=NO_BLOBS)
        elif what == "fail":
            finish.fail(session, job.id, job.fence, **REASON)
        elif what == "crash":
            finish.crash(session, job.id, job.fence, **REASON, max_failures=3)
        else:
            finish.release(session, job.id, job.fence, **REASON)
