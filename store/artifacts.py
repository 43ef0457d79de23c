"""Files that jobs made: rows that make blobs part of something."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.ids import new_id
from store.tables import Artifact, Blob, Dataset, Job, Model


@dataclass(frozen=True)
class StoredFile:
    """A file of an attempt whose bytes are in the blob store already."""

    name: str
    role: str
    media_type: str
    sha256: str
    size: int


def publish_blobs(session: Session, blobs: Iterable[tuple[str, int]]) -> None:
    """Make rows for blobs (sha256, size) and lock them until the transaction ends. In order, so that two cannot block
    each other."""
    rows = [{"sha256": sha256, "size": size, "state": "present"} for sha256, size in sorted(set(blobs))]
    if rows:
        statement = insert(Blob).values(rows)
        session.execute(statement.on_conflict_do_update(index_elements=["sha256"], set_={"state": "present"}))


def publish(session: Session, job: Job, files: Iterable[StoredFile]) -> None:
    """Make a job's artifacts, and the dataset or model that one of them is. `job` is locked."""
    files = list(files)
    publish_blobs(session, ((file.sha256, file.size) for file in files))
    rows = [Artifact(id=new_id("art"), job_id=job.id, **asdict(file)) for file in files]
    session.add_all(rows)
    session.flush()
    common = {"owner_id": job.owner_id, "job_id": job.id}
    for what, card in (job.produces or {}).items():
        (made,) = [row.id for row in rows if row.role == what]
        if what == "dataset":
            session.add(Dataset(id=new_id("ds"), artifact_id=made, card=card, **common))
        else:
            session.add(Model(id=new_id("mdl"), artifact_id=made, card=card, **common))
