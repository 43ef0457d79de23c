"""Everything that the API answers with, in one place. `/v1` is a promise: fields are added, never taken away."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from store.lifecycle import State

ItemT = TypeVar("ItemT")


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


Number = Annotated[
    float, PlainSerializer(_number, return_type=float | Literal["NaN", "Infinity", "-Infinity"], when_used="json")
]
"""JSON knows no NaN and no infinities: they travel as strings."""
Shape = tuple[int, int, int]


class Schema(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Page(Schema, Generic[ItemT]):
    """A part of a list."""

    data: list[ItemT]
    next: str | None = None
    """Give it as `cursor` to get what follows; null at the end."""


class StatusReason(Schema):
    """Why a job is in its state."""

    code: str
    message: str
    retryable: bool


class StateChange(Schema):
    """A job changed its state."""

    state: State
    at: datetime
    code: str | None = None
    message: str | None = None


class Progress(Schema):
    """How far a job is, in the unit of its phase; a study in hundredths of its jobs, summed."""

    phase: str
    step: int
    total: int
    eta_seconds: float | None = None


class Child(Schema):
    """One job of a study, or a share of a job, in short."""

    id: str
    kind: str
    node: str | None
    """Its name in the study's graph, such as `0/train/D_adv`."""
    state: State
    progress: Progress | None


class Urls(Schema):
    """Where the rest is."""

    self: str
    events: str
    metrics: str
    logs: str
    artifacts: str
    cancel: str
    report: str | None = None


class JobRow(Schema):
    """A job in short, as lists give it."""

    id: str = Field(examples=["job_01jd3h7v0c8k2m4n6p8q0r2s4t"])
    kind: str
    name: str
    state: State
    status_reason: StatusReason | None
    progress: Progress | None
    labels: dict[str, str]
    priority: int
    """-1 low, 0 normal, 1 high, 2 moved to the front by an admin."""
    attention: str | None
    """Why somebody should have a look at it, such as that it makes no progress."""
    owner: str
    shared: bool
    """May everybody in the lab look at it, and use what it makes?"""
    study: str | None
    """The study that this job is part of."""
    node: str | None
    """Its name in the study's graph."""
    shard_of: str | None
    """The job that this one does a share of."""
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    urls: Urls


class Job(JobRow):
    """A job."""

    spec: dict[str, Any]
    """What was asked, with every default filled in."""
    produces: dict[str, Any] | None
    """Card of the dataset or model that it makes, known from the start."""
    result: dict[str, Any] | None
    """The figures."""
    outputs: dict[str, str]
    """What it made: {"model": "mdl_…"} or {"dataset": "ds_…"}."""
    children: list[Child]
    """Of a study: its jobs in short, in the order of its graph; of a job that was shared out: its shares."""
    state_history: list[StateChange]
    max_queue_time: float | None
    """Seconds."""
    max_run_time: float | None
    """Seconds."""
    gpu_seconds: float
    """That its attempts held a GPU; of a study, all its jobs' like the two that follow."""
    cpu_seconds: float
    joules: float | None
    """Energy, where the card tells it."""
    failures: int
    """Attempts since its last new checkpoint that crashed, ran out of memory or lost their worker."""


class Event(Schema):
    """Something that happened to a job: `state`, `progress`, `log`, `checkpoint`, `resumed`. Ids count per job."""

    id: int
    type: str
    data: dict[str, Any]
    at: datetime


class EventPage(Schema):
    """Events, oldest first."""

    data: list[Event]
    next: int | None
    """Give it as `after` to get what follows; null when the job has ended and this was all."""


class Metrics(Schema):
    """A job's curves."""

    metrics: dict[str, list[tuple[int, Number]]]
    """By name: [step, value], thinned out on the server."""


class Artifact(Schema):
    """A file that a job made."""

    id: str
    job: str
    node: str | None
    """The job's name in its study's graph."""
    name: str
    role: str
    media_type: str
    sha256: str
    size: int
    created_at: datetime
    url: str


class Dataset(Schema):
    """A dataset that specs can name by `id`."""

    id: str
    source: Literal["built-in", "folder", "job"]
    summary: str
    shape: Shape
    """Channels, height, width."""
    classes: list[str]
    train_images: int | None
    """Null where it is known only once the files are read."""
    test_images: int | None
    job: str | None = None
    """The job that made it."""
    sha256: str | None = None
    size: int | None = None
    created_at: datetime | None = None
    options: dict[str, Any] | None = None
    """JSON schema of a built-in dataset's options."""
    download: str | None = None
    """Where its file is; only of what a job made."""
    shared: bool = True
    """May everybody in the lab use it?"""


class Upload(Schema):
    """A file that is being sent, or was."""

    id: str
    name: str
    size: int
    arrived: int
    """Bytes that are here, of `size`."""
    sha256: str | None
    created_at: datetime
    url: str


class Provenance(Schema):
    """How something came to be."""

    job: str
    spec: dict[str, Any]
    seed: int | None
    inputs: dict[str, str]
    """sha256 of each dataset or model file that was read, by its name in the spec."""
    software: dict[str, str]
    """Versions that the job ran with."""
    hardware: dict[str, Any]
    """What it ran on."""


class MadeDataset(Dataset):
    """A dataset, with its provenance."""

    provenance: Provenance | None


class Model(Schema):
    """A trained model."""

    id: str
    architecture: str
    shape: Shape
    """Channels, height, width that it takes."""
    classes: int
    job: str | None
    sha256: str
    size: int
    created_at: datetime
    weights: str
    """Where its file is."""
    shared: bool
    """May everybody in the lab use it?"""


class MadeModel(Model):
    """A model, with its provenance."""

    provenance: Provenance | None


class Entry(Schema):
    """Something that specs can name."""

    name: str
    summary: str
    options: dict[str, Any]
    """JSON schema of its options."""


class Attack(Entry):
    """An attack that evaluations can use."""

    norms: list[str]


class Kind(Schema):
    """A kind of job."""

    name: str
    summary: str
    spec: dict[str, Any]
    """JSON schema of its spec."""


class Preset(Schema):
    """A complete setting of a study."""

    kind: str
    """Of job: `study`, or a follow-up such as `transfer`."""
    name: str
    summary: str
    spec: dict[str, Any]


class Format(Schema):
    """A file format that datasets can be downloaded in."""

    name: str
    summary: str
    media_type: str
    suffix: str
    """Of the file, with its dot. Parquet holds one split: with a test split it is a `.tar` of two files."""
    exact: bool
    """Does it keep float32 pixels? Otherwise they are rounded to 8 bits, which changes only those that were finer."""


WhyWaiting = Literal["maintenance", "no_worker", "held", "running_limit", "gpu_hours", "inputs", "ahead", "next"]


class Waiting(Schema):
    """A job that waits."""

    place: int | None
    """1 is next for its sort of slot; null where it needs jobs that have not succeeded yet."""
    job: str | None
    """Null where it is somebody else's."""
    kind: str
    owner: str
    priority: int
    mine: bool
    waiting_seconds: float
    code: WhyWaiting
    """Why it waits, for programs."""
    reason: str
    """Why it waits and until when, in one sentence."""
    seconds_left: float | None
    """Until that is over, where running jobs' own estimates tell."""


class Slot(Schema):
    """A place where one job runs."""

    name: str
    device: str
    takes: list[str]
    busy: bool
    out: bool = False
    """It takes nothing now: it is held, or its GPU is not free. `GET /v1/slots` says why."""


class Worker(Schema):
    """A worker process."""

    id: str
    host: str
    version: str
    alive: bool
    slots: list[Slot]
    started_at: datetime
    seen_at: datetime


class Link(Schema):
    """A download that needs no key, for a while."""

    url: str
    """Of this one file. Whoever has it can download until it expires, or until the key that it was made with ends."""
    expires_at: datetime


class Status(Schema):
    """Of the service."""

    status: Literal["ok"] = "ok"
    version: str


class Readiness(Status):
    """Can the service take jobs, and are there slots to run them?"""

    slots: int
    """Of workers that were heard of within a lease. None while the first worker warms up: jobs are taken, and wait."""
