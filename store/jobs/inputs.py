"""What the references of a spec stand for: blobs, folders, figures of other jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from core.planning import parse
from core.references import references
from sieve.specs import DatasetRef, DescribeSpec, ExportSpec, JobRef, Spec, SynthesizeSpec, UploadRef
from store.figures import from_json
from store.jobs import shards
from store.lineage import origins, story
from store.tables import Artifact, Dataset, Job, JobCheckpoint, Json, Model, Upload


@dataclass
class Materials:
    """What an attempt is given, by reference name. Names that are missing are built-in datasets."""

    datasets: dict[str, str] = field(default_factory=dict)
    """sha256 of dataset files."""
    folders: dict[str, str] = field(default_factory=dict)
    """Paths of registered image folders."""
    models: dict[str, str] = field(default_factory=dict)
    """sha256 of model files."""
    uploads: dict[str, str] = field(default_factory=dict)
    """sha256 of uploaded files."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Results of jobs that the spec names for their figures; a dataset or model that they made is given beside."""
    parts: list[tuple[str, Any]] = field(default_factory=list)
    """Of a job that was shared out: sha256 and figures of what its shares left, in order."""
    provenance: dict[str, Json] = field(default_factory=dict)
    """Of an export's dataset."""
    origins: Json = field(default_factory=dict)
    """What the spec's references stand for, see `store.lineage.origins`."""
    checkpoints: list[JobCheckpoint] = field(default_factory=list)
    """The job's own, newest first."""


def materials(session: Session, job_id: str, spec: Spec) -> Materials:
    """Look up all that a job needs to run. What it names was checked at submission, and has succeeded since."""
    given = Materials()
    _gather(session, spec, given)
    given.origins = origins(session, spec)
    if isinstance(spec, ExportSpec | DescribeSpec):
        _from_maker(session, spec.dataset.name, given)
    newest = JobCheckpoint.fence.desc(), JobCheckpoint.step.desc()
    rows = session.scalars(select(JobCheckpoint).where(JobCheckpoint.job_id == job_id).order_by(*newest))
    given.checkpoints = list(rows)
    given.parts = shards.parts(session, job_id)
    return given


def _gather(session: Session, spec: Spec, given: Materials) -> None:
    for ref in {ref.name: ref for _, ref in references(spec)}.values():
        if ref.name.startswith("job_"):
            _from_job(session, ref.name, given)
            if isinstance(ref, JobRef):
                given.figures[ref.name] = from_json(session.get_one(Job, ref.name).result)
        elif isinstance(ref, DatasetRef):
            _stored_dataset(session, ref.name, given)
        elif isinstance(ref, UploadRef):
            given.uploads[ref.name] = str(session.get_one(Upload, ref.name).sha256)
        else:
            made_by = Artifact.id == Model.artifact_id
            query = select(Artifact.sha256).join(Model, made_by).where(Model.id == ref.name)
            sha256 = session.scalar(query)
            if sha256 is not None:  # what a job itself names is there; what a former one named may have been deleted
                given.models[ref.name] = sha256


def _from_maker(session: Session, name: str, given: Materials) -> None:
    """How a dataset was made, and what it was constructed from, as far as that is still there: where pixels are
    rounded, the loss is measured on those."""
    made_by = select(Dataset.job_id).where(Dataset.id == name)
    maker = name if name.startswith("job_") else session.scalar(made_by)
    if maker is None:
        return
    given.provenance[name] = story(session, maker)
    spec = parse(given.provenance[name]["spec"])
    if isinstance(spec, SynthesizeSpec):
        _gather(session, spec, given)


def _from_job(session: Session, job_id: str, given: Materials) -> None:
    wanted = Artifact.role.in_(("dataset", "model"))
    query = select(Artifact.role, Artifact.sha256).where(Artifact.job_id == job_id, wanted)
    for role, sha256 in session.execute(query):
        (given.datasets if role == "dataset" else given.models)[job_id] = sha256


def _stored_dataset(session: Session, name: str, given: Materials) -> None:
    query = (
        select(Dataset.folder, Artifact.sha256)
        .outerjoin(Artifact, Artifact.id == Dataset.artifact_id)
        .where(or_(Dataset.id == name, Dataset.name == name))
    )
    found = session.execute(query).one_or_none()
    if found is not None and found.folder is not None:
        given.folders[name] = found.folder
    elif found is not None:
        given.datasets[name] = found.sha256
