"""What a running attempt writes: that it lives, how far it is, what it recorded. Each write is guarded by the fence."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import delete, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store import events
from store.artifacts import publish_blobs
from store.blobs import BlobStore
from store.errors import LeaseLost
from store.fairness import INTO_THE_BOOKS
from store.lifecycle import State
from store.tables import Job, JobCheckpoint, Json, Metric

Happening = tuple[str, Json]
"""Type and data of an event."""
Point = tuple[str, int, float]
"""Name, step and value of a metric."""

KEPT = 2
"""Checkpoints kept of a job: the newest, and one to fall back to."""


_RENEW = text(f"""
    with before as (
        select id, greatest(coalesce(extract(epoch from now() - charged_at), 0), 0) as elapsed,
               coalesce(
                   progress ->> 'phase' is distinct from cast(:progress as jsonb) ->> 'phase'
                   or progress ->> 'step' is distinct from cast(:progress as jsonb) ->> 'step',
                   false
               ) and cast(:progress as jsonb) is not null as progressed
        from jobs
        where id = :job and fence = :fence and state = 'running'
        for update
    ),
    charged as (
        update jobs
        set lease_until = now() + make_interval(secs => :lease),
            progress = coalesce(cast(:progress as jsonb), progress),
            progressed_at = case when progressed then now() else progressed_at end,
            attention = case when progressed then null else attention end,
            charged_at = now(),
            gpu_seconds = gpu_seconds + (case when device like 'cuda%' then elapsed else 0 end),
            cpu_seconds = cpu_seconds + (case when device like 'cuda%' then 0 else elapsed end),
            run_seconds = run_seconds + elapsed,
            joules = case when cast(:joules as double precision) is null then joules
                          else coalesce(joules, 0) + cast(:joules as double precision) end
        from before
        where jobs.id = before.id
        returning owner_id, priority, coalesce(device like 'cuda%', false) as gpu, elapsed,
                  cast(:joules as double precision) as joules, 0 as given_back, wish
    ),
    {INTO_THE_BOOKS}
    select wish from charged
""")
_ASKED = {"expire": "cancel"}


def renew(
    session: Session,
    job_id: str,
    fence: int,
    *,
    lease_seconds: float,
    progress: Json | None = None,
    joules: float | None = None,
) -> str | None:
    """Extend the lease, and charge the time since the last renewal.

    Args:
        joules: energy that the attempt used since then, where the card tells it.

    Returns:
        What is asked of the attempt: `cancel` (stop now), `pause` or `preempt` (stop at the next safe point; there is
        no hurry with the latter), or nothing.

    Raises:
        LeaseLost: the attempt no longer holds the job.
    """
    said = None if progress is None else json.dumps(progress)
    values = {"job": job_id, "fence": fence, "lease": lease_seconds, "progress": said, "joules": joules}
    row = session.execute(_RENEW, values).one_or_none()
    if row is None:
        raise LeaseLost(job_id, fence)
    wish: str | None = row.wish
    return _ASKED.get(wish, wish) if wish else None


def held(session: Session, job_id: str, fence: int) -> Job:
    """The attempt's job, locked.

    Raises:
        LeaseLost: the attempt no longer holds it.
    """
    query = select(Job).where(Job.id == job_id, Job.fence == fence, Job.state == State.RUNNING).with_for_update()
    job = session.scalar(query.execution_options(populate_existing=True))
    if job is None:
        raise LeaseLost(job_id, fence)
    return job


def running(session: Session) -> set[tuple[str, int]]:
    """The attempts (job and fence) that hold a job now."""
    rows = session.execute(select(Job.id, Job.fence).where(Job.state == State.RUNNING, Job.slot != "none"))
    return {(row.id, row.fence) for row in rows}


def record(
    session: Session,
    job_id: str,
    fence: int,
    *,
    happenings: Sequence[Happening] = (),
    points: Sequence[Point] = (),
    progress: Json | None = None,
) -> None:
    """Add events, and points of curves; a point that is there already is replaced. Raises `LeaseLost`."""
    job = held(session, job_id, fence)
    if progress is not None and progress != job.progress:
        job.progress, job.progressed_at, job.attention = progress, func.now(), None
    for type, data in happenings:
        events.append(session, job, type, data)
    newest = {(name, step): value for name, step, value in points}
    if newest:
        rows = [{"job_id": job_id, "name": name, "step": step, "value": v} for (name, step), v in newest.items()]
        statement = insert(Metric).values(rows)
        replace = {"value": statement.excluded.value, "at": func.now()}
        session.execute(statement.on_conflict_do_update(index_elements=["job_id", "name", "step"], set_=replace))


def add_checkpoint(
    session: Session,
    job_id: str,
    fence: int,
    *,
    step: int,
    sha256: str,
    size: int,
    blobs: BlobStore,
    continues: int | None = None,
) -> None:
    """Make a blob the job's newest checkpoint, and let go of all but the last two and what they continue.

    Args:
        continues: step of the one before it, where it only adds to that.

    Raises:
        LeaseLost: the attempt no longer holds the job.
        BlobMissing: the file must be put again.
    """
    publish_blobs(session, blobs, [(sha256, size)])
    job = held(session, job_id, fence)
    furthest = session.scalar(select(func.max(JobCheckpoint.step)).where(JobCheckpoint.job_id == job_id))
    if furthest is None or step > furthest:
        job.failures = 0  # further than ever before: what went wrong until here is behind it
    same = {"sha256": sha256, "continues": continues}
    row = insert(JobCheckpoint).values(job_id=job_id, fence=fence, step=step, **same)
    again = {**same, "created_at": func.now()}
    session.execute(row.on_conflict_do_update(index_elements=["job_id", "fence", "step"], set_=again))
    if continues is None:
        _let_go(session, job_id)
    events.append(session, job, "checkpoint", {"step": step, "sha256": sha256})


def drop_checkpoint(session: Session, job_id: str, fence: int, damaged: tuple[int, int]) -> None:
    """Forget a checkpoint (its fence and step) that was found damaged, and all later ones, which continue it or were
    forgotten before. Raises `LeaseLost`."""
    job = held(session, job_id, fence)
    later = tuple_(JobCheckpoint.fence, JobCheckpoint.step) >= damaged
    session.execute(delete(JobCheckpoint).where(JobCheckpoint.job_id == job_id, later))
    events.append(session, job, "log", {"message": f"the checkpoint of step {damaged[1]} is damaged: not used"})


def _let_go(session: Session, job_id: str) -> None:
    """Of checkpoints, newest first, keep the first two, and go on as long as the last one kept continues another."""
    rows = session.scalars(
        select(JobCheckpoint)
        .where(JobCheckpoint.job_id == job_id)
        .order_by(JobCheckpoint.fence.desc(), JobCheckpoint.step.desc())
        .execution_options(populate_existing=True)
    )
    continued = False
    for count, row in enumerate(rows.all()):
        if count >= KEPT and not continued:
            session.delete(row)
        else:
            continued = row.continues is not None
