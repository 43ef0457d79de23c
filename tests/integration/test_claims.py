"""Who gets which job next."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from store.database import Database
from store.jobs import claim, finish, queue
from tests.jobs import NO_BLOBS, STUDY, TRAIN, look, parts, person, states, submitted

EVERYTHING = ("cpu", "accelerator")


def take(database: Database, *takes: str) -> claim.Claim | None:
    with database.transaction() as session:
        return claim.claim(session, worker_id="wrk_test", takes=takes or EVERYTHING, lease_seconds=60)


def test_a_claim_gives_a_lease_and_a_fence(database: Database) -> None:
    job = submitted(database, person(database, "ada"))
    taken = take(database)
    assert taken is not None
    assert (taken.job_id, taken.fence, taken.kind, taken.failures) == (job.id, 1, "train", 0)
    now = look(database, job.id)
    assert (now.state, now.worker_id, now.fence) == ("running", "wrk_test", 1)
    assert now.lease_until is not None
    assert now.started_at is not None
    assert 55 < (now.lease_until - now.started_at).total_seconds() <= 60
    assert take(database) is None


def test_many_claimers_never_take_the_same_job(database: Database) -> None:
    people = [person(database, name) for name in ("ada", "bob", "cyd")]
    jobs = {submitted(database, people[index % 3]).id for index in range(60)}

    def drain(_: int) -> list[str]:
        taken = []
        while (one := take(database)) is not None:
            taken.append(one.job_id)
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = [id for ids in pool.map(drain, range(8)) for id in ids]
    assert len(taken) == 60
    assert set(taken) == jobs
    assert all(look(database, id).fence == 1 for id in jobs)


def test_the_queue_says_what_claims_do(database: Database) -> None:
    ada, bob = person(database, "ada"), person(database, "bob")
    urgent = TRAIN.model_copy(update={"epochs": 1})
    owners = {}
    for owner, priority in [(ada, 0), (ada, 0), (ada, 0), (bob, 0), (ada, 1), (bob, -1)]:
        owners[submitted(database, owner, urgent, priority=priority).id] = owner.name
    with database.transaction() as session:
        waiting = queue.look(session, ada, silence=15).waiting
    assert [row.place for row in waiting] == [1, 2, 3, 4, 5, 6]
    assert [row.mine for row in waiting] == [row.owner == "ada" for row in waiting]
    taken = []
    while (one := take(database)) is not None:
        taken.append(one.job_id)
    assert [owners[id] for id in taken] == ["ada", "bob", "ada", "ada", "ada", "bob"]
    assert [row.id for row in waiting] == taken


def test_the_queue_begins_the_same_however_much_of_it_is_asked_for(database: Database) -> None:
    people = [person(database, name) for name in ("ada", "bob", "cyd")]
    for number in range(60):  # ada's first, then all of theirs in turn
        submitted(database, people[number % 3 if number > 20 else 0], priority=1 if number < 12 else number % 2 - 1)
    with database.transaction() as session:
        everything = queue.look(session, people[1], silence=15, limit=60).waiting
        for limit in (1, 2, 9, 10, 19, 40, 59):
            some = queue.look(session, people[1], silence=15, limit=limit).waiting
            assert some[:limit] == everything[:limit]
            own, all_own = ([row.id for row in rows if row.mine][:limit] for rows in (some, everything))
            assert own == all_own
            assert all((row.place, row.exact) == (limit + 1, False) for row in some[limit:])
    taken = []
    while (one := take(database)) is not None:
        taken.append(one.job_id)
    assert [row.id for row in everything] == taken


def test_a_newcomer_is_next(database: Database) -> None:
    ada, bob = person(database, "ada"), person(database, "bob")
    for _ in range(20):
        submitted(database, ada)
    assert take(database)
    job = submitted(database, bob)
    taken = take(database)
    assert taken is not None
    assert taken.job_id == job.id


def test_a_slot_takes_its_sorts_and_short_ones_first(database: Database) -> None:
    ada = person(database, "ada")
    study = submitted(database, ada, STUDY)
    assert take(database, "cpu") is None
    while (one := take(database)) is not None and one.kind != "report":
        figures = {"standard": 0.5}
        with database.transaction() as session:
            job = look(database, one.job_id)
            assert job.slot == "accelerator"
            job.produces = None
            session.merge(job)
            finish.succeed(session, one.job_id, one.fence, figures=figures, files=[], blobs=NO_BLOBS)
    submitted(database, ada, priority=1)
    assert one is not None
    assert one.kind == "report"
    with database.transaction() as session:
        finish.release(session, one.job_id, one.fence, code="stopped", message="stopped")
    again = take(database)
    assert again is not None
    assert (again.job_id, again.fence) == (one.job_id, 2), "the report goes before a training of higher priority"
    assert look(database, study.id).state == "running"
    assert states(database, parts(database, study)["report"].id) == [
        "blocked",
        "queued",
        "running",
        "queued",
        "running",
    ]
