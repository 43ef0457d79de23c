"""Time is up: jobs that did not start in time or run for too long end; jobs without progress want attention."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from store import events, outbox
from store.jobs.transition import decide, move, settle
from store.jobs.wish import end_study
from store.lifecycle import State
from store.tables import Job, Policy


def end_overdue(session: Session) -> int:
    """End what has not started within its `max_queue_time`, ask what runs past its `max_run_time` to end; their number.

    Of a study, both count for the whole: until its first job starts, and from then on.
    """
    if session.scalar(select(Job.id).where(or_(_unstarted(), _overrun(), _study_overrun())).limit(1)) is None:
        return 0
    decide(session)
    unstarted = _locked(session, _unstarted())
    for job in unstarted:
        reason = f"it did not start within its max_queue_time of {job.max_queue_seconds:g} s"
        if job.slot == "none":
            end_study(session, job, wish="cancel", code="max_queue_time", message=reason)
        else:
            move(session, job, State.CANCELLED, code="max_queue_time", message=reason, retryable=True)
            settle(session, job)
    overrun = _locked(session, _overrun())
    for job in overrun:
        job.wish = "expire"
    studies = _locked(session, _study_overrun())
    for study in studies:
        reason = f"its study ran for longer than its max_run_time of {study.max_run_seconds:g} s"
        end_study(session, study, wish="expire", code="max_run_time", message=reason)
    return len(unstarted) + len(overrun) + len(studies)


def note_stalled(session: Session) -> int:
    """Mark running jobs that have made no progress for as long as the lab's policy says; their number."""
    minutes = session.scalar(select(Policy.stall_minutes))
    if minutes is None:
        return 0
    silent = func.coalesce(Job.progressed_at, Job.attempt_at) < func.now() - timedelta(minutes=minutes)
    stalled = (Job.state == State.RUNNING, Job.slot != "none", Job.attention.is_(None), silent)
    jobs = session.scalars(select(Job).where(*stalled).order_by(Job.id).with_for_update(skip_locked=True)).all()
    for job in jobs:
        job.attention = f"no progress for {minutes:g} min"
        events.append(session, job, "attention", {"message": job.attention})
        outbox.tell(session, job, "job.attention", code="no_progress", message=job.attention)
    return len(jobs)


def _locked(session: Session, overdue: ColumnElement[bool]) -> list[Job]:
    query = select(Job).where(overdue).order_by(Job.id).with_for_update()
    return list(session.scalars(query.execution_options(populate_existing=True)))


def _unstarted() -> ColumnElement[bool]:
    """A job in the queue, or a study none of whose jobs runs, that nothing has ever started."""
    late = func.coalesce(Job.queued_at, Job.created_at) + _seconds(Job.max_queue_seconds) < func.now()
    study = (Job.state == State.BLOCKED) & (Job.slot == "none")
    return Job.max_queue_seconds.is_not(None) & Job.started_at.is_(None) & ((Job.state == State.QUEUED) | study) & late


def _overrun() -> ColumnElement[bool]:
    """A running job; what it ran for since it renewed last counts."""
    since = func.extract("epoch", func.least(func.now(), Job.lease_until) - Job.charged_at)
    ran = Job.run_seconds + since
    asked = func.coalesce(Job.wish, "").in_(("cancel", "expire"))
    return (Job.state == State.RUNNING) & (Job.slot != "none") & ~asked & (ran > Job.max_run_seconds)


def _study_overrun() -> ColumnElement[bool]:
    late = Job.started_at + _seconds(Job.max_run_seconds) < func.now()
    return (Job.state == State.RUNNING) & (Job.slot == "none") & Job.wish.is_(None) & late


def _seconds(column: InstrumentedAttribute[float | None]) -> ColumnElement[timedelta]:
    return func.make_interval(0, 0, 0, 0, 0, 0, column)
