"""The tables. Times are the database's own (`now()`), never a client's clock."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Date, DateTime, Double, ForeignKey, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from store.lifecycle import State

Json = dict[str, Any]


class Table(DeclarativeBase):
    """Base of all tables: how Python types become columns."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own way
        str: Text,
        int: BigInteger,
        float: Double,
        datetime: DateTime(timezone=True),
        date: Date(),
        Json: JSONB,
        list[str]: JSONB,
    }


_JSON_OR_NULL = JSONB(none_as_null=True)
"""For columns that SQL looks for nulls in: SQLAlchemy would write JSON's own null, which is a value."""


def _created() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


class User(Table):
    """Somebody who submits jobs."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str] = mapped_column(CheckConstraint("role in ('admin', 'member')"))
    created_at: Mapped[datetime] = _created()


class Account(Table):
    """What a user has used and may use: one row a user, small enough to be looked through at every claim."""

    __tablename__ = "accounts"
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    usage: Mapped[float] = mapped_column(server_default="0")
    """Slot seconds, weighted and decayed, as they stood at `usage_at`; see `store.fairness`."""
    usage_at: Mapped[datetime] = _created()
    running: Mapped[int] = mapped_column(server_default="0")
    """Slots that the user's jobs hold now."""
    week: Mapped[datetime | None]
    """Start of the week (Monday, UTC) that `week_gpu_seconds` counts."""
    week_gpu_seconds: Mapped[float] = mapped_column(server_default="0")

    max_running: Mapped[int | None]
    """This and what follows: the user's own limits. Null is the lab's (`Policy`), -1 none."""
    max_queued: Mapped[int | None]
    max_gpu_hours: Mapped[float | None]
    max_storage: Mapped[int | None]


class Policy(Table):
    """How the lab shares its server: one row."""

    __tablename__ = "policy"
    id: Mapped[int] = mapped_column(CheckConstraint("id = 1"), primary_key=True, autoincrement=False)
    maintenance: Mapped[str | None]
    """Why no job starts now, for people; null where jobs start."""
    half_life_hours: Mapped[float] = mapped_column(server_default="168")
    """After this long, a slot second counts half in the fair share."""
    cpu_rate: Mapped[float] = mapped_column(server_default="0.1")
    """What a second of a CPU slot counts; one of a GPU counts 1."""
    max_running: Mapped[int | None]
    """This and what follows: limits of each user who has none of their own. Null is none."""
    max_queued: Mapped[int | None] = mapped_column(server_default="10000")
    """Jobs that wait, or are paused."""
    max_gpu_hours: Mapped[float | None]
    """A week."""
    max_storage: Mapped[int | None]
    """Bytes of all that the user's jobs made."""
    preemption: Mapped[bool] = mapped_column(server_default=text("true"))
    """May a short job of high priority pause a long one of low priority?"""
    short_seconds: Mapped[float] = mapped_column(server_default="900")
    """The `max_run_time` up to which a job counts as short."""
    least_run_seconds: Mapped[float] = mapped_column(server_default="300")
    """How long an attempt runs before it may be paused for another's job."""
    stall_minutes: Mapped[float | None] = mapped_column(server_default="30")
    """A running job without progress for this long wants attention; null switches that off."""


class Usage(Table):
    """What a user's jobs used on a day (UTC)."""

    __tablename__ = "usage"
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    gpu_seconds: Mapped[float] = mapped_column(server_default="0")
    cpu_seconds: Mapped[float] = mapped_column(server_default="0")
    joules: Mapped[float] = mapped_column(server_default="0")
    """Energy, of the cards that tell it."""


class ApiKey(Table):
    """A key, kept as the sha256 of its secret part; the prefix finds the row."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    prefix: Mapped[str] = mapped_column(unique=True)
    secret_hash: Mapped[str]
    name: Mapped[str] = mapped_column(server_default="")
    scopes: Mapped[list[str]] = mapped_column(server_default=text("""'["read", "submit", "admin"]'"""))
    """What it may be used for, see `store.accounts.Scope`."""
    created_at: Mapped[datetime] = _created()
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)


class PageSession(Table):
    """Somebody is signed in to the web page, with a key. The cookie's token is kept as its sha256."""

    __tablename__ = "page_sessions"
    token_hash: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), index=True)
    """It ends with the key."""
    created_at: Mapped[datetime] = _created()
    expires_at: Mapped[datetime]


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
    """Its name in the study's graph, such as `0/train/D_adv`; of a share, also which it is: `2 of 4`."""
    shard_of: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    """The job that this one does a share of."""
    shards: Mapped[int] = mapped_column(server_default="0")
    """How many shares its blocks were shared out in; 0 where it does all of them itself."""
    spec: Mapped[Json]
    labels: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    shared: Mapped[bool] = mapped_column(server_default=text("false"))
    """May everybody in the lab look at it, and use what it makes?"""
    priority: Mapped[int] = mapped_column(server_default="0")
    """-1 low, 0 normal, 1 high, 2 moved to the front by an admin."""
    max_queue_seconds: Mapped[float | None]
    """It is cancelled if it has not started this long after it could."""
    max_run_seconds: Mapped[float | None]
    """It fails once it has run for this long, waiting not counted; a study, this long after its start."""
    slot: Mapped[str] = mapped_column(CheckConstraint("slot in ('accelerator', 'cpu', 'none')"))
    produces: Mapped[Json | None]
    """Card of the dataset or model that it makes: {"dataset": {...}} or {"model": {...}}."""

    state: Mapped[str] = mapped_column(CheckConstraint("state in (" + ", ".join(f"'{s}'" for s in State) + ")"))
    status_code: Mapped[str | None]
    status_message: Mapped[str | None]
    retryable: Mapped[bool] = mapped_column(server_default=text("false"))
    waiting_for: Mapped[int] = mapped_column(server_default="0")
    """How many of the jobs that it needs have not succeeded yet."""
    wish: Mapped[str | None] = mapped_column(CheckConstraint("wish in ('cancel', 'pause', 'preempt', 'expire')"))
    """What was asked of the running attempt: by its owner, for a short job's sake, or because its time is over."""
    attention: Mapped[str | None]
    """Why somebody should have a look at it, for people."""
    progress: Mapped[Json | None]
    result: Mapped[Json | None]
    """The figures."""
    work: Mapped[Json | None] = mapped_column(_JSON_OR_NULL)
    """What it does, counted when it was submitted (`core.work.Work`); null where that cannot be told."""
    taken: Mapped[Json | None] = mapped_column(_JSON_OR_NULL)
    """What the attempt that succeeded took: {"host", "device", "seconds", "memory"}, memory in bytes at the peak."""

    fence: Mapped[int] = mapped_column(server_default="0")
    """Grows at every claim; guards every write of an attempt."""
    failures: Mapped[int] = mapped_column(server_default="0")
    """Ends that were charged (crashes, out of memory, lost leases) since its last new checkpoint."""
    worker_id: Mapped[str | None]
    place: Mapped[str | None]
    """The slot that it runs on or ran on last, such as `gpu1/cuda:0`: host and slot."""
    device: Mapped[str | None]
    """Of that slot, as torch names it."""
    lease_until: Mapped[datetime | None]
    attempt_at: Mapped[datetime | None]
    """When the last attempt was claimed."""
    progressed_at: Mapped[datetime | None]
    """When the last attempt was last heard to be a step further."""
    charged_at: Mapped[datetime | None]
    """Up to when the last attempt is in the figures that follow, and in its owner's account."""
    gpu_seconds: Mapped[float] = mapped_column(server_default="0")
    cpu_seconds: Mapped[float] = mapped_column(server_default="0")
    run_seconds: Mapped[float] = mapped_column(server_default="0")
    """Both, since its owner last asked to try again: what `max_run_seconds` bounds."""
    joules: Mapped[float | None]
    """Energy, where the card tells it."""
    last_event: Mapped[int] = mapped_column(server_default="0")
    """Id of the newest event; given out under this row's lock."""

    created_at: Mapped[datetime] = _created()
    queued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "jobs_in_line",
            "owner_id",
            "slot",
            text("priority desc"),
            "queued_at",
            "id",
            postgresql_include=["kind"],
            postgresql_where=text("state = 'queued'"),
        ),
        Index("jobs_waited_for", "slot", "priority", postgresql_where=text("state = 'queued'")),
        Index("jobs_running", "owner_id", postgresql_where=text("state = 'running'")),
        Index("jobs_leased", "lease_until", postgresql_where=text("state = 'running'")),
        Index("jobs_shard_of", "shard_of", postgresql_where=text("shard_of is not null")),
        Index("jobs_of_owner", "owner_id", "id"),
        Index("jobs_in_state", "state", "kind", "id"),
        Index("jobs_of_owner_in_state", "owner_id", "state", "kind", "id"),
        Index("jobs_shared", "id", postgresql_where=text("shared")),
        Index("jobs_in_no_study", "owner_id", "id", postgresql_where=text("study_id is null")),
        Index(
            "exports", text("((spec -> 'dataset'::text) ->> 'name'::text)"), postgresql_where=text("kind = 'export'")
        ),
    )


class JobLabel(Table):
    """A label of a job, so that the newest jobs that have one are found at once. Nobody writes here: the database does
    it itself, by triggers, whenever it writes `jobs.labels`."""

    __tablename__ = "job_labels"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
    owner_id: Mapped[str]
    """The job's."""
    __table_args__ = (
        Index("job_labels_newest", "key", "value", "job_id"),
        Index("job_labels_of_owner", "owner_id", "key", "value", "job_id"),
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
    changed_at: Mapped[datetime] = _created()
    """When it was last published, or marked for deletion."""


class JobCheckpoint(Table):
    """A checkpoint of a job. Only a fenced row makes a blob a checkpoint; the last two are kept, and all that they
    continue."""

    __tablename__ = "checkpoints"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    fence: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    continues: Mapped[int | None]
    """Step of the checkpoint before, which this one only adds to; null where it says everything by itself."""
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
    provenance: Mapped[Json | None] = mapped_column(_JSON_OR_NULL)
    """{"inputs": what the job was given, by reference, as `store.lineage.origins` has it, "software": {...},
    "hardware": {...}}: what stays true when inputs, events and workers are gone."""
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
    shared: Mapped[bool] = mapped_column(server_default=text("false"))
    card: Mapped[Json]
    created_at: Mapped[datetime] = _created()


class Model(Table):
    """A model that a job trained."""

    __tablename__ = "models"
    id: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), unique=True)
    artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id"))
    shared: Mapped[bool] = mapped_column(server_default=text("false"))
    card: Mapped[Json]
    created_at: Mapped[datetime] = _created()


class Upload(Table):
    """A file that somebody sends, or has sent."""

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str]
    """For people."""
    size: Mapped[int]
    """Bytes, when it is whole."""
    sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"))
    """Of its bytes; null until all have arrived."""
    created_at: Mapped[datetime] = _created()
    changed_at: Mapped[datetime] = _created()


class IdempotencyKey(Table):
    """A key that a client gave with a request: the same key and body find what it made, and its answer."""

    __tablename__ = "idempotency_keys"
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_sha256: Mapped[str]
    """Of the body of a submission; of other requests, of method, path and body."""
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    """The job that was submitted."""
    answer: Mapped[Json | None] = mapped_column(_JSON_OR_NULL)
    """Of other requests: {"status": 201, "location": path or null, "body": text without what is secret}."""
    created_at: Mapped[datetime] = _created()

    __table_args__ = (Index("idempotency_answers", "created_at", postgresql_where=text("job_id is null")),)


class Webhook(Table):
    """An address that is told of a user's jobs. Its secret is not stored: it follows from the server's own."""

    __tablename__ = "webhooks"
    id: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    url: Mapped[str]
    events: Mapped[list[str]]
    """Types of what it is told of, such as `job.failed`."""
    description: Mapped[str] = mapped_column(server_default="")
    failing_since: Mapped[datetime | None]
    """When the first of an unbroken row of failed deliveries was made."""
    disabled_at: Mapped[datetime | None]
    disabled_why: Mapped[str | None]
    created_at: Mapped[datetime] = _created()


class Delivery(Table):
    """The outbox of webhooks: written with the change that it tells of, sent afterwards, until it has arrived."""

    __tablename__ = "deliveries"
    id: Mapped[str] = mapped_column(primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    type: Mapped[str]
    payload: Mapped[Json]
    created_at: Mapped[datetime] = _created()
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    """When it is tried next; null once it has arrived or was given up."""
    delivered_at: Mapped[datetime | None]
    status: Mapped[int | None]
    """Of the last answer."""
    error: Mapped[str | None]
    """Why the last attempt failed."""

    __table_args__ = (Index("deliveries_due", "next_at", postgresql_where=text("next_at is not null")),)


class Worker(Table):
    """A worker process and its slots."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str]
    slots: Mapped[Json]
    """{"slots": [{"name": "cpu:0", "device": "cpu", "takes": ["accelerator"], "job": "job_…", "avoided": why or null,
    "card": the GPU as `worker.cards.Card` or null}]}"""
    started_at: Mapped[datetime] = _created()
    seen_at: Mapped[datetime] = _created()


class MeasuredNetwork(Table):
    """A network that estimates were asked for: workers measure what passes through it take."""

    __tablename__ = "networks"
    key: Mapped[str] = mapped_column(primary_key=True)
    """`core.work.Network.key`."""
    network: Mapped[Json]
    asked_at: Mapped[datetime] = _created()


class MeasuredRates(Table):
    """What passes through a network take on one sort of device of one host."""

    __tablename__ = "rates"
    key: Mapped[str] = mapped_column(ForeignKey("networks.key", ondelete="CASCADE"), primary_key=True)
    host: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str] = mapped_column(primary_key=True)
    """`cpu` or `cuda`."""
    software: Mapped[str]
    """Versions that they were measured with; others measure again."""
    rates: Mapped[Json | None] = mapped_column(_JSON_OR_NULL)
    """`core.estimate.Rates`; null while they are being measured, and where that failed."""
    error: Mapped[str | None]
    begun_at: Mapped[datetime] = _created()


class Hold(Table):
    """A host, or one slot of it, takes nothing new until an admin releases it."""

    __tablename__ = "holds"
    host: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(primary_key=True, server_default="")
    """Such as `cuda:3`; empty for the whole host."""
    drain: Mapped[bool]
    """Does what runs there stop at its next checkpoint, to go on elsewhere?"""
    reason: Mapped[str]
    held_by: Mapped[str]
    """Name of the admin."""
    since: Mapped[datetime] = _created()
