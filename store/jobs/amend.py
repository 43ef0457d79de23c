"""Change what a job is called, its labels, and whether the lab may see it. None of that changes what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from store.catalogue import visible_to
from store.errors import NotFound
from store.jobs.transition import lock
from store.tables import Dataset, Job, Model, User

MadeT = TypeVar("MadeT", Dataset, Model)


def amend(session: Session, job: Job, *, name: str | None = None, labels: Mapping[str, str] | None = None) -> None:
    """Give a job another name, or other labels in place of all it has."""
    lock(session, job)
    if name is not None:
        job.name = name
    if labels is not None:
        job.labels = dict(labels)
    session.flush()  # a refresh would take it back


def share(session: Session, job: Job, *, shared: bool) -> None:
    """Let the lab look at a job and use what it made and will make, or no longer; of a study, all its jobs."""
    whole = or_(Job.id == job.id, Job.study_id == job.id, Job.shard_of == job.id)
    ids = session.scalars(select(Job.id).where(whole).order_by(Job.id).with_for_update()).all()
    session.execute(update(Job).where(Job.id.in_(ids)).values(shared=shared))
    for table in (Dataset, Model):
        session.execute(update(table).where(table.job_id.in_(ids)).values(shared=shared))


def share_made(session: Session, viewer: User, table: type[MadeT], id: str, *, shared: bool) -> MadeT:
    """Let the lab use one dataset or model of the viewer's, or no longer.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    mine = table.id == id, visible_to(viewer, table.owner_id)
    row = session.scalar(select(table).where(*mine).with_for_update())
    if row is None:
        raise NotFound("dataset" if table is Dataset else "model", id)
    row.shared = shared
    session.flush()
    return row
