"""How users share the slots: what they used, what they may use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from store import accounts
from store.database import Database
from store.errors import IllegalTransition, LimitReached
from store.jobs import claim, finish, renew, wish
from store.tables import Account, Artifact, Blob, Job, Policy, Usage, User
from tests.jobs import STUDY, events, look, person, submitted

GPU = {"device": "cuda:0", "place": "here/cuda:0"}


def take(database: Database, **slot: Any) -> claim.Claim | None:
    with database.transaction() as session:
        return claim.claim(session, worker_id="wrk_test", takes=["cpu", "accelerator"], lease_seconds=3600, **slot)


def took(database: Database, **slot: Any) -> Job:
    taken = take(database, **slot)
    assert taken is not None
    return look(database, taken.job_id)


def account(database: Database, user: User) -> Account:
    with database.transaction() as session:
        return session.get_one(Account, user.id)


def allow(database: Database, user: User, **limits: float) -> None:
    with database.transaction() as session:
        session.execute(update(Account).where(Account.user_id == user.id).values(**limits))


def police(database: Database, **values: Any) -> None:
    with database.transaction() as session:
        session.execute(update(Policy).values(**values))


def long_ago(database: Database, job: Job, seconds: float) -> None:
    """As if the attempt had been claimed, and last charged, this long ago."""
    with database.transaction() as session:
        back = text(f"charged_at - interval '{seconds} seconds'")
        session.execute(update(Job).where(Job.id == job.id).values(charged_at=back))


def end(database: Database, job: Job) -> None:
    with database.transaction() as session:
        finish.fail(session, job.id, job.fence, code="wrong", message="wrong")


@pytest.mark.parametrize(
    ("device", "priority", "counted"), [("cuda:1", 0, 1000), ("cuda:1", 1, 2000), ("cuda:0", -1, 500), ("cpu", 0, 100)]
)
def test_seconds_are_charged_when_an_attempt_renews_and_when_it_ends(
    database: Database, device: str, priority: int, counted: float
) -> None:
    ada = person(database, "ada")
    submitted(database, ada, priority=priority)
    job = took(database, device=device)
    assert account(database, ada).running == 1
    long_ago(database, job, 600)
    with database.transaction() as session:
        renew.renew(session, job.id, job.fence, lease_seconds=3600, joules=5000)
    assert account(database, ada).usage == pytest.approx(0.6 * counted, rel=0.01)
    long_ago(database, job, 400)
    end(database, job)
    now, there = account(database, ada), look(database, job.id)
    assert now.usage == pytest.approx(counted, rel=0.01)
    assert now.running == 0
    on_gpu = 1000 if device != "cpu" else 0
    assert there.gpu_seconds == pytest.approx(on_gpu, rel=0.01)
    assert there.cpu_seconds == pytest.approx(1000 - on_gpu, rel=0.01)
    assert there.joules == 5000
    assert now.week_gpu_seconds == pytest.approx(on_gpu, rel=0.01)
    with database.transaction() as session:
        (day,) = session.scalars(select(Usage)).all()
    assert (day.user_id, day.joules) == (ada.id, 5000)
    assert day.gpu_seconds + day.cpu_seconds == pytest.approx(1000, rel=0.01)


def test_nobody_pays_for_a_lost_worker_past_its_lease(database: Database) -> None:
    ada = person(database, "ada")
    submitted(database, ada)
    job = took(database, **GPU)
    with database.transaction() as session:
        lost = {"lease_until": text("now() - interval '1 hour'"), "charged_at": text("now() - interval '2 hours'")}
        session.execute(update(Job).where(Job.id == job.id).values(**lost))
    with database.transaction() as session:
        assert finish.take_from_the_lost(session, lease_seconds=0.01, max_failures=3) == 1
    assert account(database, ada).usage == pytest.approx(3600, rel=0.01)
    assert account(database, ada).running == 0


def test_who_used_least_is_next_and_what_was_used_is_forgotten(database: Database) -> None:
    ada, bob = person(database, "ada"), person(database, "bob")
    allow(database, ada, usage=3600)
    allow(database, bob, usage=7200)
    for owner in (bob, ada):
        submitted(database, owner)
    assert took(database).owner_id == ada.id
    submitted(database, ada)
    with database.transaction() as session:
        ages_ago = {"usage_at": text("now() - interval '14 days'")}
        session.execute(update(Account).where(Account.user_id == bob.id).values(**ages_ago))
    assert took(database).owner_id == bob.id, "two half-lives later: 1800 s, and nothing runs"


def test_a_user_at_the_limit_lets_others_pass(database: Database) -> None:
    ada, bob = person(database, "ada"), person(database, "bob")
    police(database, max_running=2)
    allow(database, bob, max_running=-1)
    jobs = [submitted(database, ada, priority=1) for _ in range(3)]
    [submitted(database, bob) for _ in range(4)]
    owners = [took(database).owner_id for _ in range(6)]
    assert owners.count(ada.id) == 2
    assert owners.count(bob.id) == 4
    assert take(database) is None
    end(database, look(database, jobs[0].id))
    assert took(database).id == jobs[2].id


def test_gpu_hours_of_a_week_hold_back_gpus_alone(database: Database) -> None:
    ada = person(database, "ada")
    allow(database, ada, max_gpu_hours=1)
    for _ in range(3):
        submitted(database, ada)
    job = took(database, **GPU)
    long_ago(database, job, 4000)
    end(database, job)
    assert take(database, **GPU) is None
    assert took(database, device="cpu").state == "running"
    with database.transaction() as session:
        session.execute(update(Account).values(week=text("week - interval '7 days'")))
    assert took(database, **GPU).state == "running", "a new week"


def test_in_maintenance_nothing_starts(database: Database) -> None:
    submitted(database, person(database, "ada"))
    police(database, maintenance="new cards")
    assert take(database) is None
    police(database, maintenance=None)
    assert take(database) is not None


def test_twenty_claimers_never_overshoot_a_limit(database: Database) -> None:
    people = [person(database, name) for name in ("ada", "bob", "cyd", "dan")]
    police(database, max_running=3)
    for index in range(80):
        submitted(database, people[index % 4])
    seen = set()

    def work(number: int) -> int:
        done = 0
        while (taken := take(database, place=f"here/cpu:{number}")) is not None:
            assert (taken.job_id, taken.fence) not in seen
            seen.add((taken.job_id, taken.fence))
            with database.transaction() as session:
                held = select(func.count()).where(Job.state == "running").group_by(Job.owner_id)
                assert max(session.scalars(held)) <= 3
            with database.transaction() as session:
                finish.fail(session, taken.job_id, taken.fence, code="wrong", message="wrong")
            done += 1
        return done

    with ThreadPoolExecutor(20) as pool:
        done = sum(pool.map(work, range(20)))
    assert done + _left(database) == 80
    assert all(account(database, one).running == 0 for one in people)


def test_too_many_waiting_jobs_are_refused_with_what_to_do(database: Database) -> None:
    ada = person(database, "ada")
    allow(database, ada, max_queued=2)
    submitted(database, ada)
    with pytest.raises(LimitReached, match=r"1 of your jobs wait, this would add \d+, and 2 is the limit: wait"):
        submitted(database, ada, STUDY)
    submitted(database, ada)
    with pytest.raises(LimitReached):
        submitted(database, ada)
    took(database)
    submitted(database, ada)


def test_simultaneous_submissions_do_not_overshoot(database: Database) -> None:
    ada = person(database, "ada")
    allow(database, ada, max_queued=5)

    def one(_: int) -> bool:
        try:
            submitted(database, ada)
        except LimitReached:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(16))) == 5


def test_without_room_nothing_is_submitted(database: Database) -> None:
    ada = person(database, "ada")
    job = submitted(database, ada)
    allow(database, ada, max_storage=1000)
    submitted(database, ada)
    with database.transaction() as session:
        session.add(Blob(sha256="0" * 64, size=1000))
        session.flush()
        file = {"name": "model", "role": "data", "media_type": "x/y", "sha256": "0" * 64, "size": 1000}
        session.add(Artifact(id="art_1", job_id=job.id, **file))
    with pytest.raises(LimitReached, match="delete jobs"):
        submitted(database, ada)


def test_an_admin_moves_a_job_to_the_front(database: Database) -> None:
    ada, bob = person(database, "ada"), person(database, "bob")
    submitted(database, bob, priority=1)
    submitted(database, ada)
    last = submitted(database, ada)
    with database.transaction() as session:
        wish.front(session, session.get_one(Job, last.id))
    assert [event.data["message"] for event in events(database, last.id, "log")] == [
        "moved to the front of the queue by an admin"
    ]
    assert took(database).id == last.id
    with database.transaction() as session, pytest.raises(IllegalTransition):
        wish.front(session, session.get_one(Job, last.id))


def test_new_keys_make_the_old_ones_worthless(database: Database) -> None:
    ada = person(database, "ada")
    with database.transaction() as session:
        old = [accounts.create_key(session, ada) for _ in range(2)]
        new = accounts.reset_keys(session, ada)
    with database.transaction() as session:
        assert [accounts.authenticate(session, key) is not None for key in [*old, new]] == [False, False, True]


def _left(database: Database) -> int:
    """What a claimer left because all owners were at their limits when it looked."""
    with database.transaction() as session:
        return session.scalar(select(func.count()).where(Job.state == "queued")) or 0
