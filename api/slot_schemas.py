"""What the API answers about slots: GPUs, what runs there, what an admin keeps from taking work. See `api.schemas`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from api.schemas import Progress, Schema


class Hold(Schema):
    """What an admin keeps from taking work."""

    host: str
    slot: str
    """Empty: the whole host."""
    drain: bool
    """What runs there stops at its next checkpoint and goes on elsewhere; else it runs to its end."""
    reason: str
    by: str
    since: datetime


class CardHolder(Schema):
    """A process that holds memory of a GPU."""

    pid: int
    name: str
    bytes: int | None
    foreign: bool
    """It is not one of this service's."""


class Card(Schema):
    """A GPU, as its driver saw it when its worker was last heard of. What it does not tell is null."""

    name: str
    uuid: str
    memory_total: int
    """Bytes."""
    memory_used: int
    """Bytes."""
    utilisation: int | None
    """Per cent."""
    celsius: int | None
    watts: float | None
    holders: list[CardHolder]


class PlaceOfWork(Schema):
    """A slot of a living worker, and what it does."""

    host: str
    name: str
    """Unique within its host, unless several workers run there."""
    worker: str
    device: str
    takes: list[str]
    state: Literal["free", "busy", "held", "draining", "avoided"]
    """`held` takes nothing new; `draining` is held, and what runs there is to stop; `avoided` is out by itself."""
    why: str
    """Of a slot that takes nothing: why not, in one sentence."""
    job: str | None
    """Null also where it is somebody else's."""
    kind: str | None
    """Of the job that runs there, as `owner` is."""
    owner: str | None
    progress: Progress | None
    card: Card | None
    hold: Hold | None
    seen_at: datetime
