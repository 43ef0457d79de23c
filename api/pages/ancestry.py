"""Where a dataset or a model comes from: the jobs that it hangs on, as a tree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy.orm import Session

from core.cards import DATASETS
from core.errors import SpecRefused
from core.planning import parse
from core.references import references
from store import catalogue
from store.errors import NotFound
from store.jobs import read
from store.tables import Job, User

DEEPEST = 6


@dataclass(frozen=True)
class Ancestor:
    """A job, or something that no job made, and what that was made from."""

    title: str
    what: str
    """What it gave to what stands above it: `dataset`, `model`; empty at the top."""
    link: str
    """Of its page, without the root; empty for none."""
    seed: int | None
    parents: tuple[Ancestor, ...]


def tree(session: Session, viewer: User, job_id: str) -> Ancestor | None:
    """All that a job's result hangs on. None where the viewer may not see the job."""
    try:
        return _of_job(session, viewer, read.get(session, viewer, job_id), "", 0)
    except NotFound:
        return None


def names(session: Session, viewer: User, job_ids: Iterable[str | None]) -> dict[str, str]:
    """What to call the jobs that made things, those that the viewer may see."""
    found = read.some(session, viewer, [id for id in job_ids if id])
    return {job.id: job.node or job.name or job.kind for job in found}


def _of_job(session: Session, viewer: User, job: Job, what: str, depth: int) -> Ancestor:
    parents: list[Ancestor] = []
    try:
        spec = parse(job.spec)
    except (SpecRefused, ValidationError):  # written by another version
        spec = None
    if spec is not None and depth < DEEPEST:
        for pointer, ref in references(spec):
            parents.append(_of_name(session, viewer, ref.name, pointer.strip("/").split("/")[0], depth + 1))
    title = f"{job.kind} {job.node or job.name}".strip()
    return Ancestor(title, what, f"/jobs/{job.id}", job.spec.get("seed"), tuple(parents))


def _of_name(session: Session, viewer: User, name: str, what: str, depth: int) -> Ancestor:
    try:
        if name.startswith("job_"):
            return _of_job(session, viewer, read.get(session, viewer, name), what, depth)
        if name in DATASETS.names():
            return Ancestor(name, what, f"/datasets/{name}", None, ())
        if name.startswith("mdl_"):
            job_id = catalogue.get_model(session, viewer, name).job_id
        else:
            job_id = catalogue.get_dataset(session, viewer, name).job_id
        if job_id is not None:
            return _of_job(session, viewer, read.get(session, viewer, job_id), what, depth)
        return Ancestor(name, what, f"/datasets/{name}", None, ())
    except NotFound:
        return Ancestor(f"{name}, which is gone or somebody else’s", what, "", None, ())
