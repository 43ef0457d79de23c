"""Forget an ended job, with all that it made. Its bytes go when garbage is collected, unless others refer to them."""

from __future__ import annotations

from sqlalchemy import Row, Text, cast, delete, literal, or_, select
from sqlalchemy.orm import Session

from store.errors import Conflict, IllegalTransition
from store.jobs.transition import decide, lock
from store.lifecycle import TERMINAL, State
from store.tables import Dataset, Job, Model, Need


def delete_job(session: Session, job: Job) -> None:
    """Delete a job; of a study, all its jobs.

    Raises:
        IllegalTransition: it has not ended.
        Conflict: it is part of a study or of a larger job, or another job that has not succeeded needs what it made.
    """
    decide(session)
    lock(session, job)
    if job.study_id is not None:
        raise Conflict("part_of_study", f"{job.id} is part of {job.study_id}: delete that")
    if job.shard_of is not None:
        raise Conflict("share_of_job", f"{job.id} does a share of {job.shard_of}: delete that")
    if job.state not in TERMINAL:
        raise IllegalTransition(f"{job.id} is {job.state}: cancel it first")
    ids = [job.id, *session.scalars(select(Job.id).where(or_(Job.study_id == job.id, Job.shard_of == job.id))).all()]
    others = Job.id.not_in(ids), Job.state != State.SUCCEEDED  # what failed may be tried again
    needing = select(Need.needs_id, Job.id, Job.state).join(Job, Job.id == Need.job_id)
    _refuse_if(session.execute(needing.where(Need.needs_id.in_(ids), *others).limit(1)).one_or_none())
    # Deleted before looking who names them: a submission that does holds them until it is written.
    made = [
        *session.scalars(delete(Dataset).where(Dataset.job_id.in_(ids)).returning(Dataset.id)),
        *session.scalars(delete(Model).where(Model.job_id.in_(ids)).returning(Model.id)),
    ]
    for name in made:
        naming = select(literal(name), Job.id, Job.state).where(cast(Job.spec, Text).contains(f'"{name}"'), *others)
        _refuse_if(session.execute(naming.limit(1)).one_or_none())
    session.execute(delete(Need).where(Need.needs_id.in_(ids)))
    session.execute(delete(Job).where(Job.id.in_(ids)))


def _refuse_if(needed: Row[str, str, str] | None) -> None:
    if needed is not None:
        what, by, state = tuple(needed)
        raise Conflict("still_needed", f"{by}, which is {state}, needs {what}: cancel and delete that first")
