"""The tables. Times are the database's own (`now()`), never a client's clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Double, ForeignKey, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from store.lifecycle import State

Json = dict[str, Any]


class Table(DeclarativeBase):
    """Base of all tables: how Python types become columns."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own way
        str: Text,
        int: BigInteger,
        float: Double,
        datetime: DateTime(timezone=True),
        Json: JSONB,
        list[str]: JSONB,
    }


def _created() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


class User(Table):
    """Somebody who submits jobs."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str] = mapped_column(CheckConstraint("role in ('admin', 'member')"))
    created_at: Mapped[datetime] = _created()


class ApiKey(Table):
    """A key, kept as the sha256 of its secret part; the prefix finds the row."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    prefix: Mapped[str] = mapped_column(unique=True)
    secret_hash: Mapped[str]
    name: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = _created()
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Job(Table):
    """A job: what was asked, where it stands, what came of it."""

    __tablename__ = "jobs"
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 - times come back with the update that sets them
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str] = mapped_column(server_default="")
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    study_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    """The study that this job is part of."""
    node: Mapped[str | None]
    """Its name in the study's graph, such as `0/train/D_adv`."""
    spec: Mapped[Json]
    labels: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    priority: Mapped[int] = mapped_column(server_default="0")
    """-1 low, 0 normal, 1 high."""
    slot: Mapped[str] = mapped_column(CheckConstraint("slot in ('accelerator', 'cpu', 'none')"))
    produces: Mapped[Json | None]
    """Card of the dataset or model that it makes: {"dataset": {...}} or {"model": {...}}."""

    state: Mapped[str] = mapped_column(CheckConstraint("state in (" + ", ".join(f"'{s}'" for s in State) + ")"))
    status_code: Mapped[str | None]
    status_message: Mapped[str | None]
    retryable: Mapped[bool] = mapped_column(server_default=text("false"))
    waiting_for: Mapped[int] = mapped_column(server_default="0")
    """How many of the jobs that it needs have not succeeded yet."""
    wish: Mapped[str | None] = mapped_column(CheckConstraint("wish in ('cancel', 'pause')"))
    """What its owner asked of the running attempt."""
    progress: Mapped[Json | None]
    result: Mapped[Json | None]
    """The figures."""

    fence: Mapped[int] = mapped_column(server_default="0")
    """Grows at every claim; guards every write of an attempt."""
    failures: Mapped[int] = mapped_column(server_default="0")
    """Ends that were charged: crashes, out of memory, lost leases."""
    worker_id: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    last_event: Mapped[int] = mapped_column(server_default="0")
    """Id of the newest event; given out under this row's lock."""

    created_at: Mapped[datetime] = _created()
    queued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "jobs_to_claim",
            "owner_id",
            "slot",
            text("priority desc"),
            "queued_at",
            "id",
            postgresql_where=text("state = 'queued'"),
        ),
        Index("jobs_running", "owner_id", postgresql_where=text("state = 'running'")),
        Index("jobs_leased", "lease_until", postgresql_where=text("state = 'running'")),
        Index("jobs_of_owner", "owner_id", "id"),
        Index("jobs_in_state", "state", "id"),
    )


class Need(Table):
    """One job needs another to have succeeded."""

    __tablename__ = "needs"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    needs_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True, index=True)


class Event(Table):
    """Something that happened to a job: `state`, `progress`, `log`, `checkpoint`, `resumed`. Ids count per job."""

    __tablename__ = "events"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    data: Mapped[Json]
    at: Mapped[datetime] = _created()


class Metric(Table):
    """One point of a curve. A point that is computed again after a resume replaces itself."""

    __tablename__ = "metrics"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float]
    at: Mapped[datetime] = _created()


class Blob(Table):
    """Bytes in the blob store, by their sha256 (hex)."""

    __tablename__ = "blobs"
    sha256: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int]
    state: Mapped[str] = mapped_column(CheckConstraint("state in ('present', 'deleting')"), server_default="present")
    created_at: Mapped[datetime] = _created()


class JobCheckpoint(Table):
    """A checkpoint of a job. Only a fenced row makes a blob a checkpoint; the last two are kept."""

    __tablename__ = "checkpoints"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    fence: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    created_at: Mapped[datetime] = _created()


class Artifact(Table):
    """A file that a job made."""

    __tablename__ = "artifacts"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    role: Mapped[str]
    media_type: Mapped[str]
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    size: Mapped[int]
    created_at: Mapped[datetime] = _created()


class Dataset(Table):
    """A dataset beside the built-in ones: made by a job, or a folder registered by the server's owner."""

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(unique=True)
    """Of a registered folder."""
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), unique=True)
    artifact_id: Mapped[str | None] = mapped_column(ForeignKey("artifacts.id"))
    folder: Mapped[str | None]
    card: Mapped[Json]
    created_at: Mapped[datetime] = _created()


class Model(Table):
    """A model that a job trained."""

    __tablename__ = "models"
    id: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), unique=True)
    artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id"))
    card: Mapped[Json]
    created_at: Mapped[datetime] = _created()


class IdempotencyKey(Table):
    """A key that a client gave with a submission: the same key and body find the same job."""

    __tablename__ = "idempotency_keys"
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_sha256: Mapped[str]
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = _created()


class Worker(Table):
    """A worker process and its slots."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str]
    slots: Mapped[Json]
    """{"slots": [{"name": "cpu:0", "device": "cpu", "takes": ["accelerator"], "job": "job_…"}]}"""
    started_at: Mapped[datetime] = _created()
    seen_at: Mapped[datetime] = _created()
