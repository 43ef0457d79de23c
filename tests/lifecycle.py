"""The life of jobs as a state machine: whatever comes in whatever order, the rules hold. And the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from core.planning import parse
from store import accounts, limits
from store.database import Database
from store.errors import IllegalTransition, LeaseLost, LimitReached
from store.jobs import claim, expire, finish, preempt, renew, submit, wish
from store.lifecycle import TERMINAL, State, legal
from store.tables import Account, Event, Job, Need
from tests.jobs import NO_BLOBS, STUDY, TRAIN

PEOPLE = ("ada", "bob", "cyd")
REASON = {"code": "wrong", "message": "wrong"}
NUMBER = st.integers(0, 1_000_000)


class Lifecycle(RuleBasedStateMachine):
    """Three people's jobs, and workers that do with them whatever a worker can."""

    database: Database
    steps = 0
    """Done so far, in all examples."""

    @initialize()
    def begin(self) -> None:
        type(self).steps -= 1  # this is none
        with self.database.transaction() as session:
            session.execute(text("truncate users cascade"))
            session.execute(text("update policy set maintenance = null, max_running = 2, max_queued = 40"))
            self.people = [accounts.create_user(session, name, "member") for name in PEOPLE]
        self.ended: dict[str, tuple[str, int]] = {}
        """Jobs that have ended: how, and their last event."""
        self.jobs = 0

    @rule(who=st.sampled_from(range(3)), priority=st.integers(-1, 1), run=st.sampled_from([None, 60.0]), what=NUMBER)
    def submit(self, who: int, priority: int, run: float | None, what: int) -> None:
        beside = {"priority": priority, "max_run_seconds": run, "max_queue_seconds": run}
        with self.database.transaction() as session:
            mine = session.scalars(select(Job).where(Job.kind == "train", Job.owner_id == self.people[who].id))
            sources = [job.id for job in mine if job.produces and job.state not in TERMINAL - {"succeeded"}]
            spec: Any = TRAIN
            if what % 8 == 0:
                spec = STUDY
            elif what % 3 == 0 and sources:
                source = sources[what % len(sources)]
                spec = {"kind": "evaluate", "dataset": "digits", "model": source}
            try:
                parsed = parse(spec) if isinstance(spec, dict) else spec
                submit.submit(session, owner=self.people[who], spec=parsed, **beside)  # type: ignore[arg-type]
                self.jobs += 1
            except LimitReached:
                assert limits.standings(session, self.people[who])[0].waiting > 15

    @rule(device=st.sampled_from(["cpu", "cuda:0"]), again=st.integers(1, 4))
    def claim(self, device: str, again: int) -> None:
        for _ in range(again):
            with self.database.transaction() as session:
                slot = {"takes": ["cpu", "accelerator"], "device": device, "place": f"here/{device}"}
                claim.claim(session, worker_id="wrk_test", lease_seconds=600, **slot)  # type: ignore[arg-type]

    @precondition(lambda self: self.jobs)
    @rule(which=NUMBER, how=st.sampled_from(["succeed", "fail", "crash", "release", "renew"]))
    def work(self, which: int, how: str) -> None:
        with self.database.transaction() as session:
            job = self._one(session, which, Job.state == State.RUNNING, Job.slot != "none")
            if job is None:
                return
            if how == "succeed":
                job.produces = None
                finish.succeed(session, job.id, job.fence, figures={}, files=[], blobs=NO_BLOBS)
            elif how == "fail":
                finish.fail(session, job.id, job.fence, **REASON)
            elif how == "crash":
                finish.crash(session, job.id, job.fence, **REASON, max_failures=3)
            elif how == "release":
                finish.release(session, job.id, job.fence, **REASON)
            else:
                progress = {"phase": "training", "step": which, "total": 10**6, "eta_seconds": 9000}
                renew.renew(session, job.id, job.fence, lease_seconds=600, progress=progress, joules=1.0)

    @precondition(lambda self: self.jobs)
    @rule(which=NUMBER, how=st.sampled_from(["succeed", "fail", "crash", "release", "renew"]))
    def speak_too_late(self, which: int, how: str) -> None:
        """What an attempt says that no longer holds its job changes nothing."""
        with self.database.transaction() as session:
            job = self._one(session, which, Job.fence > 0, Job.slot != "none")
            if job is None:
                return
            told = session, job.id, job.fence - (job.state == State.RUNNING)
            late: dict[str, Callable[[], object]] = {
                "succeed": lambda: finish.succeed(*told, figures={}, files=[], blobs=NO_BLOBS),
                "fail": lambda: finish.fail(*told, **REASON),
                "crash": lambda: finish.crash(*told, **REASON, max_failures=3),
                "release": lambda: finish.release(*told, **REASON),
                "renew": lambda: renew.renew(*told, lease_seconds=600),
            }
            with pytest.raises(LeaseLost):
                late[how]()

    @precondition(lambda self: self.jobs)
    @rule(which=NUMBER, what=st.sampled_from([wish.cancel, wish.pause, wish.resume, wish.retry, wish.front]))
    def ask(self, which: int, what: Any) -> None:
        with self.database.transaction() as session:
            job = self._one(session, which, Job.id.is_not(None))
            if job is None:
                return
            try:
                with session.begin_nested():
                    what(session, job)
            except IllegalTransition:
                session.expire_all()
            if what is wish.retry:
                self.ended = {}  # it may have brought back others too

    @precondition(lambda self: self.jobs)
    @rule(which=NUMBER, seconds=st.sampled_from([30, 70, 700]))
    def time_passes(self, which: int, seconds: int) -> None:
        """For one job; then the sweeper looks."""
        columns = ["queued_at", "created_at", "started_at", "attempt_at", "charged_at", "progressed_at", "lease_until"]
        with self.database.transaction() as session:
            job = self._one(session, which, Job.id.is_not(None))
            if job is not None:
                passed = {name: text(f"{name} - interval '{seconds} seconds'") for name in columns}
                session.execute(update(Job).where(Job.id == job.id).values(**passed))
        for sweep in (
            lambda session: finish.take_from_the_lost(session, lease_seconds=0.01, max_failures=3),
            expire.note_stalled,
            expire.end_overdue,
            preempt.preempt,
        ):
            with self.database.transaction() as session:
                sweep(session)

    @rule(running=st.sampled_from([None, 1, 3]), maintenance=st.sampled_from([None, None, "new cards"]))
    def police(self, running: int | None, maintenance: str | None) -> None:
        """Limits grow and shrink; what runs goes on."""
        with self.database.transaction() as session:
            limits.set_limits(session, "ada", {"max_running": running})
            limits.set_policy(session, {"maintenance": maintenance})

    @invariant()
    def quotas_hold(self) -> None:
        with self.database.transaction() as session:
            holding = select(func.count()).where(
                Job.owner_id == Account.user_id, Job.state == State.RUNNING, Job.slot != "none"
            )
            rows = session.execute(select(Account.running, holding.scalar_subquery(), Account.usage))
            for running, counted, usage in rows:
                assert running == counted <= 3
                assert usage >= 0

    @invariant()
    def what_has_ended_stays_so(self) -> None:
        type(self).steps += 1
        with self.database.transaction() as session:
            rows = session.execute(select(Job.id, Job.state, Job.last_event).where(Job.state.in_(TERMINAL)))
            now = {row.id: (row.state, row.last_event) for row in rows}
        assert self.ended.items() <= now.items()
        self.ended = now

    def teardown(self) -> None:
        with self.database.transaction() as session:
            check(session)

    def _one(self, session: Session, number: int, *where: Any) -> Job | None:
        ids = session.scalars(select(Job.id).where(*where).order_by(Job.id)).all()
        return session.get_one(Job, ids[number % len(ids)]) if ids else None


def machine_on(database: Database) -> type[Lifecycle]:
    """A machine of its own for a database, which counts its own steps."""
    return type("Machine", (Lifecycle,), {"database": database})


def run(machine: type[Lifecycle], examples: int, steps: int, *, seed: int | None = None) -> None:
    """Play so many examples of at most so many steps each.

    Without a seed they are the same ones each time, and one that fails is made short.
    """
    once = settings() if seed is None else settings(database=None, phases=[Phase.generate])
    run_state_machine_as_test(
        machine if seed is None else hypothesis.seed(seed)(machine),
        settings=settings(
            once,
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=seed is None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def check(session: Session) -> None:
    jobs = {job.id: job for job in session.scalars(select(Job))}
    needs: dict[str, list[Job]] = {id: [] for id in jobs}
    for need in session.scalars(select(Need)):
        needs[need.job_id].append(jobs[need.needs_id])
    for job in jobs.values():
        missing = [need for need in needs[job.id] if need.state != State.SUCCEEDED]
        lost = [need for need in missing if need.state in TERMINAL]
        if job.slot == "none":
            children = {State(child.state) for child in jobs.values() if child.study_id == job.id}
            assert (job.state in TERMINAL) == (children <= TERMINAL), (job.state, children)
            assert (job.state == State.SUCCEEDED) == (children == {State.SUCCEEDED})
        elif job.state == State.BLOCKED:
            assert job.waiting_for == len(missing) > 0
            assert not lost
        elif job.state in (State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED):
            assert not missing
        elif job.state == State.SKIPPED:
            assert lost
        holds = job.state == State.RUNNING and job.slot != "none"
        assert (job.lease_until is not None) == (job.worker_id is not None) == holds
        assert (job.finished_at is not None) == (job.state in TERMINAL)
    before: dict[str, State] = {}
    for event in session.scalars(select(Event).where(Event.type == "state").order_by(Event.job_id, Event.id)):
        was, now = event.data["from"], State(event.data["to"])
        assert was == before.get(event.job_id)
        assert was is None or legal(State(was), now), f"{event.job_id}: {was} -> {now}"
        before[event.job_id] = now
    assert before == {job.id: job.state for job in jobs.values()}
