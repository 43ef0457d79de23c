"""Exports of datasets that were made, or are being made."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from sieve.specs import ExportSpec, FormatName
from store.catalogue import open_to
from store.lifecycle import State
from store.tables import Artifact, Dataset, Job, User

_OF_USE = tuple(state for state in State if state not in (State.FAILED, State.CANCELLED, State.SKIPPED))


def export_spec(dataset: Dataset, form: FormatName) -> ExportSpec:
    """The spec that a dataset's export in a format has, whoever asks for it."""
    return ExportSpec.model_validate({"dataset": dataset.id, "format": form})


def export_job(session: Session, dataset: Dataset, form: FormatName, *, viewer: User | None = None) -> Job | None:
    """The newest job that exports, or has exported, the dataset in this format, of those that `viewer` may see; or
    anybody's: their bytes are the same."""
    spec = export_spec(dataset, form).model_dump(mode="json")
    of_dataset = Job.spec["dataset"]["name"].astext == dataset.id
    query = select(Job).where(Job.kind == "export", of_dataset, Job.spec == spec, Job.state.in_(_OF_USE))
    if viewer is not None:
        query = query.where(open_to(viewer, Job))
    return session.scalar(query.order_by(Job.id.desc()).limit(1))


def export_file(session: Session, dataset: Dataset, form: FormatName) -> Artifact | None:
    """The file of a finished export; None while there is none."""
    job = export_job(session, dataset, form)
    if job is None or job.state != State.SUCCEEDED:
        return None
    return session.scalars(select(Artifact).where(Artifact.job_id == job.id, Artifact.role == "data")).one()
