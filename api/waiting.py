"""Why a job waits, and until when: one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api import schemas
from store import tables
from store.jobs.queue import Blocked, Busy, Service, Waiting


@dataclass(frozen=True)
class Queue:
    """What the answers are made of."""

    service: Service
    slots: dict[str, int]
    """How many slots of living workers take each sort of job."""
    busy: Sequence[Busy]


def served(workers: Sequence[schemas.Worker]) -> dict[str, int]:
    """How many slots of living workers take each sort of job."""
    slots = [slot for worker in workers if worker.alive for slot in worker.slots if not slot.out]
    takes = [sort for slot in slots for sort in slot.takes]
    return {sort: takes.count(sort) for sort in takes}


def on_gpus(rows: Sequence[tables.Worker]) -> bool:
    """Do all slots that take `accelerator` jobs have a GPU?"""
    devices = [slot["device"] for row in rows for slot in row.slots["slots"] if "accelerator" in slot["takes"]]
    return bool(devices) and all(device != "cpu" for device in devices)


def queued(job: Waiting, queue: Queue) -> schemas.Waiting:
    """A job in the queue."""
    code, reason, seconds = _why(job, queue)
    return schemas.Waiting(
        place=job.place,
        job=job.id if job.mine else None,
        kind=job.kind,
        owner=job.owner,
        priority=job.priority,
        mine=job.mine,
        waiting_seconds=round(job.seconds, 1),
        code=code,
        reason=reason,
        seconds_left=None if seconds is None else round(seconds),
    )


def blocked(job: Blocked, owner: str) -> schemas.Waiting:
    """A job of the viewer's that waits for others."""
    more = f" and {_count(job.missing - 1, 'job')} more" if job.missing > 1 else ""
    left = f", about {_span(job.needs_seconds)} more" if job.needs_seconds is not None else ""
    return schemas.Waiting(
        place=None,
        job=job.id,
        kind=job.kind,
        owner=owner,
        priority=job.priority,
        mine=True,
        waiting_seconds=round(job.seconds, 1),
        code="inputs",
        reason=f"it needs {job.needs} ({job.needs_state}{left}){more}",
        seconds_left=None,
    )


def _why(job: Waiting, queue: Queue) -> tuple[schemas.WhyWaiting, str, float | None]:
    """Why it waits, for programs and for people, and after how many seconds that is over, where that can be said."""
    whose = "your jobs hold" if job.mine else f"{job.owner}'s jobs hold"
    here = [one for one in queue.busy if one.slot == job.slot]
    if queue.service.maintenance is not None:
        return "maintenance", f"no job starts now: {queue.service.maintenance}", None
    if job.slot not in queue.slots:
        return "no_worker", "no worker that takes such jobs is running", None
    if job.max_running is not None and job.running >= job.max_running:
        own = [one.seconds_left for one in here if one.owner == job.owner and one.seconds_left is not None]
        until = f"; the first ends in about {_span(min(own))}" if own else ""
        held = f"{whose} {job.running} of the {_count(job.max_running, 'slot')} that they may hold at once"
        return "running_limit", held + until, min(own, default=None)
    if not job.gpu_hours_left:
        spent = f"{job.gpu_hours:.1f} of {job.max_gpu_hours:g} GPU hours of this week are used"
        anew = queue.service.week_ends_in
        return "gpu_hours", f"{spent}: they are counted anew in {_span(anew)} (Monday 00:00 UTC)", anew
    ends = sorted(one.seconds_left for one in here if one.seconds_left is not None)
    seconds = ends[job.place - 1] if job.exact and job.place <= len(ends) else None
    busy = _busy(here, queue.slots[job.slot])
    if job.place == 1:
        return "next", f"it is next: {busy or 'it waits for a slot'}", seconds
    least = "" if job.exact else "at least "
    ahead = f"{least}{_count(job.place - 1, 'job')} {'is' if job.place == 2 and job.exact else 'are'} ahead of it"
    return "ahead", ahead + (f"; {busy}" if busy else ""), seconds


def _busy(here: Sequence[Busy], slots: int) -> str:
    """What the slots are busy with, and the first of them until when; nothing is said where none is."""
    if not here:
        return ""
    first = here[0]
    named = f"{first.id}, " if first.mine else ""
    what = f"{named}a {first.kind} of {first.owner}"
    all_of = "the slot is" if slots == 1 else f"{len(here)} of {slots} slots are"
    if first.seconds_left is None:
        return f"{all_of} busy, one with {what}" if slots > 1 else f"{all_of} busy with {what}"
    return f"{all_of} busy, {'the first ' if slots > 1 else ''}for about {_span(first.seconds_left)} more ({what})"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"
