"""What owners ask of their jobs: cancel, pause, resume, retry. Asking again changes nothing.

A running job is only asked: its worker reads the wish when it next renews (ring the bell to make that soon).
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from store import events
from store.errors import IllegalTransition
from store.jobs.transition import decide, lock, move, settle, settle_study
from store.lifecycle import State
from store.tables import Job, Need

FRONT = 2
"""The priority of what an admin moved to the front."""
_WAITING = (State.BLOCKED, State.QUEUED, State.PAUSED)
_RETRYABLE = (State.FAILED, State.CANCELLED, State.SKIPPED)


def cancel(session: Session, job: Job) -> Job:
    """End a job; of a study, all its jobs. What needs a cancelled job is skipped.

    Raises:
        IllegalTransition: it has ended already, in another way.
    """
    decide(session)
    lock(session, job)
    if job.state == State.CANCELLED:
        return job
    if job.state in (State.SUCCEEDED, State.FAILED, State.SKIPPED):
        raise IllegalTransition(f"{job.id} has {job.state}: there is nothing left to cancel")
    if job.slot == "none":
        end_study(session, job, wish="cancel", code="cancelled_by_user", message="cancelled by its owner")
    else:
        ended = [part for part in _parts(session, job) if _cancel(session, part)]
        for part in ended:
            settle(session, part)
    session.flush()
    return job


def pause(session: Session, job: Job) -> Job:
    """Keep a job from running until it is resumed. A running one stops at its next safe point, with a checkpoint.

    Raises:
        IllegalTransition: it has ended, or is being cancelled.
    """
    decide(session)
    lock(session, job)
    if job.state not in (*_WAITING, State.RUNNING) or job.wish == "cancel":
        raise IllegalTransition(f"{job.id} is {'being cancelled' if job.wish else job.state} and cannot be paused")
    for part in _parts(session, job):
        if part.state in (State.BLOCKED, State.QUEUED):
            move(session, part, State.PAUSED, code="paused_by_user", message="paused by its owner")
        elif part.state == State.RUNNING and part.wish in (None, "preempt"):
            part.wish = "pause"
    return _settled(session, job)


def resume(session: Session, job: Job) -> Job:
    """Let a paused job go on.

    Raises:
        IllegalTransition: it has ended, or is being cancelled.
    """
    decide(session)
    lock(session, job)
    if job.state not in (*_WAITING, State.RUNNING) or job.wish == "cancel":
        raise IllegalTransition(f"{job.id} is {'being cancelled' if job.wish else job.state} and cannot be resumed")
    for part in _parts(session, job):
        if part.state == State.PAUSED:
            _let_go(session, part)
        elif part.wish == "pause":
            part.wish = None
    return _settled(session, job)


def retry(session: Session, job: Job) -> Job:
    """Try again what failed, was cancelled or was skipped, from the last checkpoint where there is one.

    What was skipped for want of it waits again. Of a study, all its unsuccessful jobs are tried again.

    Raises:
        IllegalTransition: it succeeded, is paused, or needs a job that did not succeed.
    """
    decide(session)
    lock(session, job)
    if job.state in (State.SUCCEEDED, State.PAUSED) or job.wish == "cancel":
        raise IllegalTransition(f"{job.id} is {'being cancelled' if job.wish else job.state} and cannot be tried again")
    if job.shard_of is not None:
        raise IllegalTransition(f"{job.id} does a share of {job.shard_of}: try that again, and what it lacks is done")
    if job.state not in _RETRYABLE:
        return job
    if job.slot == "none":  # its deadlines begin anew
        job.queued_at = func.now()
        job.started_at = func.now() if job.started_at is not None else None
    parts = _parts(session, job)
    for part in parts:
        if part.wish == "cancel":
            raise IllegalTransition(f"{part.id} is still being cancelled: try again when that is done")
    again = [part for part in parts if part.state in _RETRYABLE]
    for part in again:  # a study's come in the order of its graph: what is needed is retried before what needs it
        _retry(session, part)
    for part in again:
        _unskip(session, part)
    for study_id in sorted({part.study_id for part in again if part.study_id}):
        settle_study(session, study_id)
    return _settled(session, job)


def front(session: Session, job: Job) -> Job:
    """Let a job start before all others; of a study, all its jobs that have not started.

    Raises:
        IllegalTransition: it has started, or ended.
    """
    decide(session)
    lock(session, job)
    parts = [part for part in _parts(session, job) if part.state in _WAITING]
    if not parts:
        raise IllegalTransition(f"{job.id} is {job.state}: it waits no more")
    for part in parts:
        if part.priority != FRONT:
            part.priority = FRONT
            events.append(session, part, "log", {"message": "moved to the front of the queue by an admin"})
    session.flush()
    return job


def end_study(session: Session, study: Job, *, wish: Literal["cancel", "expire"], code: str, message: str) -> None:
    """End all jobs of a locked study that have not ended, for this reason; those that run are asked."""
    study.wish = wish
    session.flush()
    waiting = []
    for part in _parts(session, study):
        if part.state == State.RUNNING:
            part.wish = wish
        elif part.state in _WAITING:
            move(session, part, State.CANCELLED, code=code, message=message, retryable=True)
            waiting.append(part)
    for part in waiting:
        settle(session, part)
    settle_study(session, study.id)


def _parts(session: Session, job: Job) -> list[Job]:
    """A study's jobs, locked; or the job itself after its shares."""
    mine = Job.study_id == job.id if job.slot == "none" else or_(Job.id == job.id, Job.shard_of == job.id)
    query = select(Job).where(mine).order_by(Job.id).with_for_update()
    return list(session.scalars(query.execution_options(populate_existing=True)))


def _settled(session: Session, job: Job) -> Job:
    session.flush()
    study_id = job.id if job.slot == "none" else job.study_id
    if study_id is not None:
        settle_study(session, study_id)
    session.flush()
    return job


def _cancel(session: Session, part: Job) -> bool:
    """Cancel what waits, ask what runs. True if it was cancelled at once."""
    if part.state == State.RUNNING:
        part.wish = "cancel"
    elif part.state in _WAITING:
        move(session, part, State.CANCELLED, code="cancelled_by_user", message="cancelled by its owner", retryable=True)
        return True
    return False


def _let_go(session: Session, part: Job) -> None:
    """Into the queue, or to wait for what is still missing."""
    part.waiting_for, lost = _outstanding(session, part)
    if lost:
        why = f"{lost}, which it needs, did not succeed"
        move(session, part, State.SKIPPED, code="needed_job_unsuccessful", message=why, retryable=True)
        settle(session, part)
    else:
        move(session, part, State.BLOCKED if part.waiting_for else State.QUEUED)


def _retry(session: Session, part: Job) -> None:
    waiting_for, lost = _outstanding(session, part)
    if lost:
        raise IllegalTransition(f"{part.id} needs {lost}, which did not succeed: try that one again first")
    part.waiting_for, part.failures = waiting_for, 0
    part.progress, part.run_seconds = None, 0
    if part.state == State.SKIPPED:
        move(session, part, State.BLOCKED)
    if not waiting_for:
        move(session, part, State.QUEUED)
    elif part.state != State.BLOCKED:
        move(session, part, State.BLOCKED)
    session.flush()


def _unskip(session: Session, job: Job) -> None:
    """What was skipped for want of `job`, and of nothing else that is lost, waits for it again."""
    query = select(Job).join(Need, Need.job_id == Job.id).where(Need.needs_id == job.id, Job.state == State.SKIPPED)
    for dependent in session.scalars(query.order_by(Job.id).with_for_update(of=Job)).all():
        waiting_for, lost = _outstanding(session, dependent)
        if lost is None and dependent.state == State.SKIPPED:  # it may have been reached on another way meanwhile
            dependent.waiting_for = waiting_for
            move(session, dependent, State.BLOCKED)
            session.flush()
            _unskip(session, dependent)
            if dependent.study_id not in (None, job.study_id):
                settle_study(session, dependent.study_id)


def _outstanding(session: Session, job: Job) -> tuple[int, str | None]:
    """How many needed jobs have not succeeded yet, and one of those that never will."""
    session.flush()
    rows = session.execute(
        select(
            func.count().filter(Job.state != State.SUCCEEDED),
            func.min(Job.id).filter(Job.state.in_(_RETRYABLE)),
        )
        .join(Need, Need.needs_id == Job.id)
        .where(Need.job_id == job.id)
    ).one()
    return rows[0], rows[1]
