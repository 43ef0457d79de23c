"""Deletes blobs that nothing refers to: first they are marked, and only later, if nobody has published them, deleted.

A publisher locks the blob's row, checks or rewrites the file, commits (`store.artifacts.publish_blobs`). Here the row
is locked, marked `deleting`, committed; then we wait longer than a download takes to begin; then bytes and row are
deleted under the row's lock. A file without a row was put and never published: it gets a row that is marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.blobs import BlobStore, Kept
from store.database import Database
from store.tables import Blob, Table

ROUND = 0x51E5E003
"""Key of the advisory lock of a round. A backup holds it too: nothing is deleted while it copies."""

BATCH = 1000


@dataclass
class Collected:
    """What a round did."""

    unpublished: int = 0
    """Files without a row."""
    marked: int = 0
    deleted: int = 0
    bytes: int = 0
    """Of what was deleted."""
    cleared: int = 0
    """Leftovers of puts that were killed."""


def collect(database: Database, blobs: BlobStore, *, wait_seconds: float) -> Collected:
    """One round: mark what nothing refers to, delete what was marked `wait_seconds` ago and more."""
    done = Collected(cleared=blobs.clear_arriving(wait_seconds))
    old = datetime.now(UTC) - timedelta(seconds=wait_seconds)
    found: list[Kept] = []
    for kept in blobs.everything():
        found += [kept] if kept.at <= old else []
        if len(found) == BATCH:
            done.unpublished += _adopted(database, found)
            found = []
    done.unpublished += _adopted(database, found)
    while True:
        with database.transaction() as session:
            marked = mark(session)
        done.marked += marked
        if marked < BATCH:
            break
    with database.transaction() as session:
        waited_for = session.scalars(select(Blob.sha256).where(*_due(wait_seconds)).order_by(Blob.sha256)).all()
    for sha256 in waited_for:
        with database.transaction() as session:
            size = remove(session, blobs, sha256, wait_seconds=wait_seconds)
        if size is not None:
            done.deleted, done.bytes = done.deleted + 1, done.bytes + size
    return done


def mark(session: Session) -> int:
    """Mark some of the blobs that nothing refers to. Gives their number; fewer than `BATCH` where these were all."""
    free = select(Blob.sha256).where(Blob.state == "present", unreferenced()).order_by(Blob.sha256).limit(BATCH)
    locked = session.scalars(free.with_for_update(skip_locked=True, of=Blob)).all()
    # What was published after the first statement began and before its lock came is seen only by another statement.
    still = update(Blob).where(Blob.sha256.in_(locked), unreferenced())
    marked = session.scalars(still.values(state="deleting", changed_at=func.now()).returning(Blob.sha256))
    return len(marked.all())


def adopt(session: Session, found: Sequence[Kept]) -> int:
    """Give files without a row one that is marked. Gives their number."""
    rows = [{"sha256": kept.sha256, "size": kept.size, "state": "deleting"} for kept in found]
    missing = insert(Blob).values(rows).on_conflict_do_nothing().returning(Blob.sha256)
    return len(session.scalars(missing).all())


def remove(session: Session, blobs: BlobStore, sha256: str, *, wait_seconds: float) -> int | None:
    """Delete a blob that was marked so long ago, and its bytes. Gives its size; None where it is wanted again.

    The bytes go before the commit: until then a publisher of equal bytes waits for the row, and then puts them again.
    """
    statement = delete(Blob).where(Blob.sha256 == sha256, *_due(wait_seconds)).returning(Blob.size)
    size = session.scalar(statement)
    if size is not None:
        blobs.delete(sha256)
    return size


def unreferenced() -> ColumnElement[bool]:
    """Does no table refer to the blob? Every foreign key to `blobs` counts, so that none is forgotten."""
    keys = [key for table in Table.metadata.sorted_tables for key in table.foreign_keys]
    columns = [key.parent for key in keys if key.column.table is Blob.__table__]
    return and_(*(~exists().where(column == Blob.sha256) for column in columns))


def _due(wait_seconds: float) -> tuple[ColumnElement[bool], ...]:
    waited = Blob.changed_at <= func.now() - timedelta(seconds=wait_seconds)
    return Blob.state == "deleting", waited, unreferenced()


def _adopted(database: Database, found: Sequence[Kept]) -> int:
    if not found:
        return 0
    with database.transaction() as session:
        return adopt(session, found)
