"""Where what a job made comes from: its spec, what that was given, and what it ran on; and so on, to the beginning."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from core.planning import parse
from core.references import references
from sieve.specs import DatasetRef, JobRef, Spec, UploadRef
from store.jobs.surroundings import made
from store.tables import Artifact, Dataset, Job, Json, Model, Upload, User

What = Literal["dataset", "model", "upload", "folder", "built-in", "job"]

_MOST = 500
"""Nodes of a lineage; no study comes near."""


@dataclass(frozen=True)
class Node:
    """One thing of a lineage."""

    id: str
    what: What
    name: str | None = None
    """For people."""
    sha256: str | None = None
    """Of its file; of a folder or a built-in dataset, of its pixels and labels as they were read."""
    job: str | None = None
    kind: str | None = None
    """Of that job."""
    spec: Json | None = None
    seed: int | None = None
    software: Json = field(default_factory=dict)
    hardware: Json = field(default_factory=dict)
    made_at: datetime | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    """Ids of the nodes that it was made of, by reference in the spec."""
    there: bool = True
    """Can it still be named, by this viewer?"""


def origins(session: Session, spec: Spec) -> Json:
    """What a spec's references stand for, by name: {"what", "id", "job", "sha256", "name"}, as far as there is each."""
    refs = {ref.name: ref for _, ref in references(spec)}
    found: Json = {}
    stored = _stored(session, list(refs))
    for name, ref in refs.items():
        if isinstance(ref, UploadRef):
            upload = session.get(Upload, name)
            told = {} if upload is None else {"sha256": upload.sha256, "name": upload.name}
            found[name] = {"what": "upload", "id": name, **told}
        elif name in stored and not isinstance(ref, JobRef):
            found[name] = stored[name]
        elif name.startswith("job_"):
            found[name] = stored.get(name, {"what": "job", "id": name})
        else:
            found[name] = {"what": "built-in" if isinstance(ref, DatasetRef) else "model", "id": name}
    return found


def story(session: Session, job_id: str) -> Json:
    """The provenance of what a job made, as `core.context.Inputs.provenance` describes it."""
    job = session.get_one(Job, job_id)
    known = provenance(session, job)
    names = {name: told["name"] for name, told in known["inputs"].items() if told.get("name")}
    return {
        **made(session, job_id),
        "job": job_id,
        "spec": job.spec,
        "seed": job.spec.get("seed"),
        "inputs": {name: told["sha256"] for name, told in known["inputs"].items() if told.get("sha256")},
        "software": known["software"],
        "hardware": known["hardware"],
        **({"names": names} if names else {}),
    }


def provenance(session: Session, job: Job) -> Json:
    """`inputs`, `software` and `hardware` of what a job made: as they were when it did, as far as that was kept."""
    query = select(Artifact.provenance).where(Artifact.job_id == job.id, Artifact.provenance.is_not(None)).limit(1)
    kept = session.scalar(query) or {}
    return {
        "inputs": kept["inputs"] if "inputs" in kept else origins(session, parse(job.spec)),
        "software": kept.get("software", {}),
        "hardware": kept.get("hardware", {}),
    }


def lineage(session: Session, viewer: User, row: Dataset | Model) -> list[Node]:
    """The node of a dataset or model, and then those of all that it was made of, each after what it went into."""
    what: What = "model" if isinstance(row, Model) else "folder" if row.folder else "dataset"
    start = (row.name if isinstance(row, Dataset) else None) or row.id
    waiting: dict[str, Json] = {start: {"what": what, "id": start, "job": row.job_id}}
    nodes: dict[str, Node] = {}
    while waiting and len(nodes) < _MOST:
        id, told = waiting.popitem()
        node, below = _node(session, viewer, told)
        nodes.pop(id, None)  # again, now behind what it went into as well
        nodes[id] = node
        for one in below.values():
            waiting[one["id"]] = one
    return list(nodes.values())


def _node(session: Session, viewer: User, told: Json) -> tuple[Node, Json]:
    """A node, and what is told of its inputs."""
    common: Json = {name: told.get(name) for name in ("id", "what", "name", "sha256")}
    job = session.get(Job, told["job"]) if told.get("job") else None
    if job is None:
        return Node(**common, there=told["what"] in ("built-in", "folder") or _uploaded(session, told)), {}
    if not (viewer.role == "admin" or job.owner_id == viewer.id or job.shared):
        return Node(**common, job=job.id, kind=job.kind, there=False), {}
    known = provenance(session, job)
    wanted = Artifact.role == told["what"]
    file = session.scalar(select(Artifact).where(Artifact.job_id == job.id, wanted).limit(1))
    node = Node(
        id=told["id"],
        what=told["what"],
        name=job.name or None,
        sha256=file.sha256 if file else told.get("sha256"),
        job=job.id,
        kind=job.kind,
        spec=job.spec,
        seed=job.spec.get("seed"),
        software=known["software"],
        hardware=known["hardware"],
        made_at=job.finished_at,
        inputs={name: one["id"] for name, one in known["inputs"].items()},
    )
    return node, known["inputs"]


def _uploaded(session: Session, told: Json) -> bool:
    return told["what"] == "upload" and session.get(Upload, told["id"]) is not None


def _stored(session: Session, names: Collection[str]) -> Json:
    """What is told of stored datasets, registered folders and models, by their own ids, by name, and by their jobs'."""
    of_dataset = or_(Dataset.id.in_(names), Dataset.job_id.in_(names), Dataset.name.in_(names))
    datasets = select(Dataset, Artifact.sha256).outerjoin(Artifact, Artifact.id == Dataset.artifact_id)
    of_model = or_(Model.id.in_(names), Model.job_id.in_(names))
    models = select(Model, Artifact.sha256).join(Artifact, Artifact.id == Model.artifact_id)
    found: Json = {}
    for dataset, sha256 in session.execute(datasets.where(of_dataset)):
        told = {"what": "dataset", "id": dataset.id, "job": dataset.job_id, "sha256": sha256}
        if dataset.name is not None:
            told = {"what": "folder", "id": dataset.name}
        found |= {name: told for name in (dataset.id, dataset.job_id, dataset.name) if name and name in names}
    for model, sha256 in session.execute(models.where(of_model)):
        told = {"what": "model", "id": model.id, "job": model.job_id, "sha256": sha256}
        found |= {name: told for name in (model.id, model.job_id) if name and name in names}
    return found
