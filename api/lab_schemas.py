"""What the API answers about how the lab shares its server. See `api.schemas`."""

from __future__ import annotations

import datetime

from api.schemas import Schema


class Used(Schema):
    """Something that is limited."""

    used: float
    limit: float | None
    """Null where there is none."""


class Standing(Schema):
    """What a user used and may use."""

    user: str
    share: float
    """Slot seconds, weighted and decayed: who has less is served first."""
    running: Used
    """Slots that their jobs hold now."""
    queued: Used
    """Jobs that wait or are paused."""
    gpu_hours_this_week: Used
    """Since Monday, 00:00 UTC."""
    storage: Used
    """Bytes of what their jobs made."""
    gpu_hours: float
    """Of all time, like what follows."""
    cpu_hours: float
    kilowatt_hours: float
    """Of the cards that tell it."""


class Day(Schema):
    """What somebody's jobs used on a day (UTC)."""

    day: datetime.date
    gpu_hours: float
    cpu_hours: float
    kilowatt_hours: float


class Usage(Standing):
    """What a user used and may use, and when."""

    days: list[Day]


class Policy(Schema):
    """How the lab shares its server."""

    maintenance: str | None
    """Why no job starts now; null where jobs start."""
    half_life_hours: float
    """After this long, a slot second counts half in the fair share."""
    cpu_rate: float
    """What a second of a CPU slot counts; one of a GPU counts 1."""
    max_running: int | None
    """Of each user who has no limit of their own, as what follows; null is no limit."""
    max_queued: int | None
    max_gpu_hours: float | None
    """A week."""
    max_storage: int | None
    """Bytes."""
    preemption: bool
    """May a short job of high priority pause a long one of low priority?"""
    short_seconds: float
    """The `max_run_time` up to which a job counts as short."""
    least_run_seconds: float
    """How long an attempt runs before it may be paused for another's job."""
    stall_minutes: float | None
    """A running job without progress for this long wants attention."""
