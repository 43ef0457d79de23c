"""Jobs in a test's database, without HTTP: who owns them, what they are, how they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.planning import parse
from sieve.specs import Spec, StudySpec, TrainSpec
from store import accounts
from store.blobs import DiskBlobs
from store.database import Database
from store.jobs import read, submit
from store.tables import Event, Job, User

NO_BLOBS = DiskBlobs(Path("no files, no blobs"))
TRAIN = TrainSpec.model_validate({"dataset": "digits", "architecture": "convnet", "epochs": 2})
STUDY = StudySpec.model_validate({"preset": "digits"})


def person(database: Database, name: str, role: Any = "member") -> User:
    with database.transaction() as session:
        return accounts.create_user(session, name, role)


def submitted(database: Database, owner: User, spec: Spec | dict[str, Any] = TRAIN, **beside: Any) -> Job:
    with database.transaction() as session:
        parsed = spec if isinstance(spec, Spec) else parse(spec)
        return submit.submit(session, owner=owner, spec=parsed, **beside).job


def look(database: Database, job_id: str) -> Job:
    with database.transaction() as session:
        return session.get_one(Job, job_id)


def parts(database: Database, study: Job) -> dict[str, Job]:
    """A study's jobs by node."""
    with database.transaction() as session:
        return {str(child.node): child for child in read.children(session, study)}


def events(database: Database, job_id: str, type: str | None = None) -> list[Event]:
    with database.transaction() as session:
        return [event for event in read.events(session, job_id) if type in (None, event.type)]


def states(database: Database, job_id: str) -> list[str]:
    """All states that a job was in, in order."""
    return [event.data["to"] for event in events(database, job_id, "state")]
