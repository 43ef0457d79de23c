"""How a job changes its state: one decision at a time, each legal, each an event; and what follows from it.

Decisions are serialised by one advisory lock, taken before any row lock. It is held for a few milliseconds and makes
every race between claim, finish, cancel, retry and the sweeper a question of who came first. Writes that decide
nothing (renewals, checkpoints, metrics, logs) take only their job's row lock.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store import events, outbox
from store.fairness import charge_end
from store.lifecycle import TERMINAL, State, legal
from store.tables import Job, Need

DECISIONS = 0x51E5E001
"""Key of the advisory lock."""


def decide(session: Session) -> None:
    """Wait for the right to change states; held until the transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(DECISIONS)))


def lock(session: Session, job: Job) -> Job:
    """Read a job again, and lock its row."""
    session.refresh(job, with_for_update=True)
    return job


def move(
    session: Session,
    job: Job,
    to: State,
    *,
    code: str | None = None,
    message: str | None = None,
    retryable: bool = False,
) -> None:
    """Change the state of a locked job. `code`, `message` and `retryable` are the reason, for people and programs."""
    before = State(job.state)
    assert legal(before, to), f"{job.id}: {before} -> {to} is not legal"
    if before is State.RUNNING and job.slot != "none":
        charge_end(session, job)
    job.state = to
    job.status_code, job.status_message, job.retryable = code, message, retryable
    if to is State.QUEUED:
        job.queued_at = func.now()
    if to is State.RUNNING:
        job.started_at = func.coalesce(Job.started_at, func.now())
    else:
        job.worker_id = job.lease_until = None
    job.finished_at = func.now() if to in TERMINAL else None
    if to is not State.RUNNING:
        job.wish = job.attention = None
    events.append(session, job, "state", {"from": before, "to": to, "code": code, "message": message})
    if to in TERMINAL and job.study_id is None and job.shard_of is None:  # a study's end says what came of its jobs
        outbox.tell(session, job, f"job.{to}", code=code, message=message)


def settle(session: Session, job: Job) -> None:
    """What follows from a job's end: jobs that need it are unblocked or skipped, its study's state is computed anew."""
    ended = [job]
    studies = {job.study_id}
    while ended:
        needed = ended.pop()
        for dependent in _dependents(session, needed):
            if needed.state == State.SUCCEEDED:
                dependent.waiting_for -= 1
                if dependent.waiting_for == 0 and dependent.state == State.BLOCKED:
                    move(session, dependent, State.QUEUED)
            elif dependent.id == needed.shard_of and needed.state != State.SKIPPED:
                if dependent.state in (State.BLOCKED, State.PAUSED):
                    _end_whole(session, dependent, needed)
                    ended.append(dependent)
            elif dependent.state in (State.BLOCKED, State.PAUSED):
                reason = f"{needed.id}{f' ({needed.node})' if needed.node else ''}, which it needs, was {needed.state}"
                if needed.state == State.FAILED:
                    reason = reason.replace(" was ", " ")
                move(session, dependent, State.SKIPPED, code="needed_job_unsuccessful", message=reason, retryable=True)
                ended.append(dependent)
                studies.add(dependent.study_id)
    for study_id in sorted(filter(None, studies)):
        settle_study(session, study_id)


def _end_whole(session: Session, whole: Job, share: Job) -> None:
    """A job ends as one of its shares did, failed or cancelled; the other shares are of no use then."""
    message = f"{share.id}, share {share.node}, {'' if share.state == State.FAILED else 'was '}{share.state}"
    detail = f": {share.status_message}" if share.status_message else ""
    move(session, whole, State(share.state), code=share.status_code, message=message + detail, retryable=True)
    left = select(Job).where(Job.shard_of == whole.id, Job.state.not_in(TERMINAL)).order_by(Job.id).with_for_update()
    for other in session.scalars(left.execution_options(populate_existing=True)).all():
        if other.state == State.RUNNING:
            other.wish = "cancel"
        else:
            move(session, other, State.CANCELLED, code="share_unsuccessful", message=message, retryable=True)


def settle_study(session: Session, study_id: str) -> None:
    """Compute a study's state from its children's."""
    session.flush()
    study = session.get_one(Job, study_id, with_for_update=True, populate_existing=True)
    parts = select(Job.state, Job.id, Job.status_code, Job.status_message).where(Job.study_id == study_id)
    rows = session.execute(parts.order_by(Job.id)).all()
    to = study_state(
        (State(row.state) for row in rows),
        started=study.started_at is not None,
        asked_to_end=study.wish is not None,
    )
    if to == study.state or (to in TERMINAL and study.state in TERMINAL):
        return
    failed = [row.id for row in rows if row.state == State.FAILED]
    if to is State.CANCELLED and study.wish == "expire":
        message = f"it ran for longer than its max_run_time of {study.max_run_seconds:g} s"
        move(session, study, State.FAILED, code="max_run_time", message=message, retryable=True)
    elif to is State.CANCELLED:
        why = next(({"code": row.status_code, "message": row.status_message} for row in rows if row.state == to), {})
        move(session, study, to, **why, retryable=True)
    elif to is State.FAILED:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        first = f"{failed[0]}{more} failed" if failed else "a job that it needs did not succeed"
        move(session, study, to, code="child_failed", message=first, retryable=True)
    else:
        move(session, study, to)
    if to is State.SUCCEEDED:
        study.result = session.get_one(Job, rows[-1].id).result  # the last node of the graph is what a study is for


def study_state(children: Iterable[State], *, started: bool, asked_to_end: bool) -> State:
    """The state of a study whose children are in these states."""
    states = set(children)
    left = states - TERMINAL
    if not left:
        if states == {State.SUCCEEDED}:
            return State.SUCCEEDED
        if asked_to_end or (State.CANCELLED in states and State.FAILED not in states):
            return State.CANCELLED
        return State.FAILED
    if left == {State.PAUSED}:
        return State.PAUSED
    return State.RUNNING if started or State.RUNNING in states else State.BLOCKED


def _dependents(session: Session, job: Job) -> list[Job]:
    session.flush()
    return list(
        session.scalars(
            select(Job)
            .join(Need, Need.job_id == Job.id)
            .where(Need.needs_id == job.id)
            .order_by(Job.id)
            .with_for_update(of=Job)
            .execution_options(populate_existing=True)
        )
    )
