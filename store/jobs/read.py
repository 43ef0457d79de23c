"""Look at jobs: one, pages, events, curves, files. What is not the viewer's does not exist."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from store.catalogue import visible_to
from store.errors import NotFound
from store.tables import Artifact, Event, Job, User


def get(session: Session, viewer: User, job_id: str) -> Job:
    """One job. Raises `NotFound`."""
    job = session.scalar(select(Job).where(Job.id == job_id, visible_to(viewer, Job.owner_id)))
    if job is None:
        raise NotFound("job", job_id)
    return job


def page(
    session: Session,
    viewer: User,
    *,
    states: Sequence[str] = (),
    kinds: Sequence[str] = (),
    owner: str | None = None,
    label: tuple[str, str] | None = None,
    study: str | None = None,
    top_level: bool = False,
    before: str | None = None,
    limit: int = 50,
) -> list[Job]:
    """Jobs, newest first. `owner` is a user's id, `before` the last id of the page before.

    With `study`, only that study's jobs; with `top_level`, only jobs that are part of no study.
    """
    query = select(Job).where(visible_to(viewer, Job.owner_id)).order_by(Job.id.desc()).limit(limit)
    if states:
        query = query.where(Job.state.in_(states))
    if kinds:
        query = query.where(Job.kind.in_(kinds))
    if owner is not None:
        query = query.where(Job.owner_id == owner)
    if label is not None:
        query = query.where(Job.labels.contains({label[0]: label[1]}))
    if study is not None:
        query = query.where(Job.study_id == study)
    if top_level:
        query = query.where(Job.study_id.is_(None))
    if before is not None:
        query = query.where(Job.id < before)
    return list(session.scalars(query))


def children(session: Session, job: Job) -> list[Job]:
    """A study's jobs in the order of its graph; none for another job."""
    return list(session.scalars(select(Job).where(Job.study_id == job.id).order_by(Job.id)))


def events(session: Session, job_id: str, *, after: int = 0, limit: int = 1000) -> list[Event]:
    """A job's events with ids above `after`, oldest first."""
    query = select(Event).where(Event.job_id == job_id, Event.id > after).order_by(Event.id).limit(limit)
    return list(session.scalars(query))


def state_history(session: Session, job_id: str) -> list[Event]:
    """A job's changes of state, oldest first."""
    query = select(Event).where(Event.job_id == job_id, Event.type == "state").order_by(Event.id)
    return list(session.scalars(query))


def metrics(
    session: Session, job_id: str, *, names: Sequence[str] = (), points: int = 1000
) -> dict[str, list[tuple[int, float]]]:
    """A job's curves, each thinned evenly to about `points` points; first and last are always among them."""
    rows = session.execute(
        text("""
            select name, step, value
            from (
                select name, step, value,
                       row_number() over (partition by name order by step) - 1 as place,
                       count(*) over (partition by name) as total
                from metrics
                where job_id = :job and (cast(:names as text[]) is null or name = any(cast(:names as text[])))
            ) numbered
            where place % greatest(1, ceil(total / cast(:points as double precision))::bigint) = 0 or place = total - 1
            order by name, step
        """),
        {"job": job_id, "names": list(names) or None, "points": points},
    )
    curves: dict[str, list[tuple[int, float]]] = {}
    for name, step, value in rows:
        curves.setdefault(name, []).append((step, value))
    return curves


def artifacts(session: Session, job_id: str) -> list[Artifact]:
    """A job's files, by name."""
    return list(session.scalars(select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)))


def artifact(session: Session, viewer: User, artifact_id: str) -> Artifact:
    """One file. Raises `NotFound`."""
    query = select(Artifact).join(Job, Job.id == Artifact.job_id)
    found = session.scalar(query.where(Artifact.id == artifact_id, visible_to(viewer, Job.owner_id)))
    if found is None:
        raise NotFound("artifact", artifact_id)
    return found
