"""Files that jobs made: rows that make blobs part of something."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.blobs import BlobStore
from store.errors import BlobMissing
from store.ids import new_id
from store.tables import Artifact, Blob, Dataset, Job, Json, Model


@dataclass(frozen=True)
class StoredFile:
    """A file of an attempt whose bytes are in the blob store already."""

    name: str
    role: str
    media_type: str
    sha256: str
    size: int


def publish_blobs(session: Session, store: BlobStore, blobs: Iterable[tuple[str, int]]) -> None:
    """Lock the rows of blobs (sha256, size), made where they are missing, until the transaction ends; then look whether
    their bytes are there.

    Garbage collection deletes bytes only under the same lock: what is there now is there after the commit. Call it
    before anything else in the transaction, and with all blobs at once: so that no two can block each other.

    Raises:
        BlobMissing: they were put, but deleted before they were published. Put them again.
    """
    sizes = dict(sorted(blobs))
    for sha256, size in sizes.items():
        row = insert(Blob).values(sha256=sha256, size=size, state="present")
        again = {"state": "present", "changed_at": func.now()}
        session.execute(row.on_conflict_do_update(index_elements=["sha256"], set_=again))
    for sha256, size in sizes.items():
        if not store.holds(sha256, size):
            raise BlobMissing(sha256)


def publish(session: Session, job: Job, files: Iterable[StoredFile], provenance: Json | None = None) -> None:
    """Make a job's artifacts, and the dataset or model that one of them is. `job` is locked, and so
    are its blobs."""
    rows = [Artifact(id=new_id("art"), job_id=job.id, provenance=provenance, **asdict(file)) for file in files]
    session.add_all(rows)
    session.flush()
    common = {"owner_id": job.owner_id, "job_id": job.id, "shared": job.shared}
    for what, card in (job.produces or {}).items():
        (made,) = [row.id for row in rows if row.role == what]
        if what == "dataset":
            session.add(Dataset(id=new_id("ds"), artifact_id=made, card=card, **common))
        else:
            session.add(Model(id=new_id("mdl"), artifact_id=made, card=card, **common))
