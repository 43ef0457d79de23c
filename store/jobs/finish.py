"""How an attempt ends. Each ending is one transaction, guarded by the fence; ring the bell once it is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from store.artifacts import StoredFile, publish, publish_blobs
from store.blobs import BlobStore
from store.figures import to_json
from store.jobs import shards
from store.jobs.renew import held
from store.jobs.transition import decide, move, settle, settle_study
from store.lifecycle import TERMINAL, State
from store.tables import Job, JobCheckpoint, Json


def succeed(
    session: Session,
    job_id: str,
    fence: int,
    *,
    figures: Mapping[str, Any],
    files: Sequence[StoredFile],
    blobs: BlobStore,
    made: Json | None = None,
    taken: Json | None = None,
    provenance: Json | None = None,
) -> None:
    """The attempt did its job: publish what it made, let go what waited for it.

    Args:
        made: card of the dataset or model that it made, where that was not known at submission: as `Job.produces`.
        taken: as in `store.tables.Job`.
        provenance: as in `store.tables.Artifact`.

    Raises:
        LeaseLost: the attempt no longer holds the job.
        BlobMissing: a file must be put again.
    """
    publish_blobs(session, blobs, ((file.sha256, file.size) for file in files))
    decide(session)
    job = held(session, job_id, fence)
    if made is not None:
        job.produces = made
    publish(session, job, files, provenance)
    job.result, job.taken = to_json(figures), taken
    session.execute(delete(JobCheckpoint).where(JobCheckpoint.job_id == job_id))
    if job.shards:
        shards.forget_parts(session, job)
    _end(session, job, State.SUCCEEDED)


def fail(session: Session, job_id: str, fence: int, *, code: str, message: str) -> None:
    """The attempt met an error that would repeat. Raises `LeaseLost`."""
    decide(session)
    _end(session, held(session, job_id, fence), State.FAILED, code=code, message=message)


def crash(session: Session, job_id: str, fence: int, *, code: str, message: str, max_failures: int) -> None:
    """The attempt ended by a signal or for want of memory: charge it, and try again while there are tries left.

    Raises:
        LeaseLost: the attempt no longer holds the job.
    """
    decide(session)
    _charge(session, held(session, job_id, fence), code=code, message=message, max_failures=max_failures)


def release(session: Session, job_id: str, fence: int, *, code: str, message: str) -> None:
    """The attempt stopped because it was asked to, or through no fault of its own: give the job back, uncharged.

    It is then as was asked: cancelled, failed for want of time, paused, or else queued again. Raises `LeaseLost`.
    """
    decide(session)
    _give_back(session, held(session, job_id, fence), code=code, message=message)


def take_from_the_lost(session: Session, *, lease_seconds: float, max_failures: int) -> int:
    """Take jobs from attempts whose lease ran out, charge them, and queue them again. Gives their number.

    Waits one lease after PostgreSQL started: while it was away nobody could renew.
    """
    expired = (
        Job.state == State.RUNNING,
        Job.lease_until < func.now(),
        func.pg_postmaster_start_time() + timedelta(seconds=lease_seconds) < func.now(),
    )
    if session.scalar(select(Job.id).where(*expired).limit(1)) is None:
        return 0
    decide(session)
    # Locking looks at each row again: one that was renewed meanwhile is not among them.
    jobs = session.scalars(select(Job).where(*expired).order_by(Job.id).with_for_update()).all()
    for job in jobs:
        message = "its worker was not heard of for longer than its lease"
        _charge(session, job, code="worker_lost", message=message, max_failures=max_failures)
    return len(jobs)


def take_back(session: Session, *, code: str, message: str) -> int:
    """Take every running job from its attempt, uncharged: where none of them can live. Gives their number."""
    decide(session)
    running = Job.state == State.RUNNING, Job.slot != "none"
    jobs = session.scalars(select(Job).where(*running).order_by(Job.id).with_for_update()).all()
    for job in jobs:
        _give_back(session, job, code=code, message=message)
    return len(jobs)


def _charge(session: Session, job: Job, *, code: str, message: str, max_failures: int) -> None:
    job.failures += 1
    if job.wish not in ("cancel", "expire") and job.failures >= max_failures:
        tries = f" ({job.failures} attempts)" if job.failures > 1 else ""
        _end(session, job, State.FAILED, code=code, message=message + tries, retryable=True)
    else:
        _give_back(session, job, code=code, message=message)


def _give_back(session: Session, job: Job, *, code: str, message: str) -> None:
    if job.wish == "cancel":
        reason = "cancelled by its owner"
        _end(session, job, State.CANCELLED, code="cancelled_by_user", message=reason, retryable=True)
    elif job.wish == "expire":
        own, limit = ("it", job.max_run_seconds) if job.max_run_seconds is not None else ("its study", None)
        reason = f"{own} ran for longer than its max_run_time" + (f" of {limit:g} s" if limit is not None else "")
        _end(session, job, State.FAILED, code="max_run_time", message=reason, retryable=True)
    elif job.wish == "pause":
        _end(session, job, State.PAUSED, code="paused_by_user", message="paused by its owner")
    elif job.wish == "preempt":
        since = job.queued_at
        reason = "paused for a short job of higher priority; it goes on from its checkpoint"
        _end(session, job, State.QUEUED, code="preempted", message=reason)
        job.queued_at = since  # it keeps its place
    else:
        _end(session, job, State.QUEUED, code=code, message=message)


def _end(session: Session, job: Job, to: State, **reason: Any) -> None:
    move(session, job, to, **reason)
    if to in TERMINAL:
        settle(session, job)
    elif job.study_id is not None:
        settle_study(session, job.study_id)
