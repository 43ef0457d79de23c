"""Why a job waits, and until when: one sentence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from api import schemas
from store import tables, workers
from store.jobs.queue import Blocked, Busy, Queue, Waiting


@dataclass(frozen=True)
class Offers:
    """What slots offer."""

    takers: Mapping[str, int]
    """How many take each sort of job."""
    shut: Mapping[str, str]
    """Sorts of job that some would take if they were not held or avoided: why the first is."""


@dataclass(frozen=True)
class Around:
    """What the answers are made of."""

    queue: Queue
    offers: Offers

    @cached_property
    def by_slot(self) -> Mapping[str, Sequence[Busy]]:
        """What runs on each sort of slot."""
        found = defaultdict(list)
        for one in self.queue.busy:
            found[one.slot].append(one)
        return found

    @cached_property
    def ends(self) -> Mapping[str, Sequence[float]]:
        """In how many seconds the jobs on each sort of slot end, so far as they say."""
        return {
            slot: [one.seconds_left for one in here if one.seconds_left is not None]
            for slot, here in self.by_slot.items()
        }

    @cached_property
    def busy_with(self) -> Mapping[str, str]:
        """What the slots that take each sort of job are busy with, in words."""
        return {sort: _busy(self.by_slot.get(sort, ()), slots) for sort, slots in self.offers.takers.items()}

    @cached_property
    def first_of(self) -> Mapping[str, float]:
        """In how many seconds the first job of each owner ends, so far as they say."""
        return {one.owner: one.seconds_left for one in reversed(self.queue.busy) if one.seconds_left is not None}


def offers(living: Sequence[tables.Worker], held: Mapping[tuple[str, str], tables.Hold]) -> Offers:
    """What the slots of living workers offer."""
    takers: Counter[str] = Counter()
    shut: dict[str, str] = {}
    for worker in living:
        for slot in worker.slots["slots"]:
            hold = workers.hold_over(held, worker.host, slot["name"])
            why = slot.get("avoided") if hold is None else hold.reason or f"held by {hold.held_by}"
            for sort in slot["takes"]:
                if why is None:
                    takers[sort] += 1
                else:
                    shut.setdefault(sort, f"{worker.host} {slot['name']}: {why}")
    return Offers(takers, shut)


def queued(job: Waiting, around: Around) -> dict[str, Any]:
    """A job in the queue, as `schemas.Waiting` has it."""
    code, reason, seconds = _why(job, around)
    return {
        "place": job.place,
        "job": job.id if job.mine else None,
        "kind": job.kind,
        "owner": job.owner,
        "priority": job.priority,
        "mine": job.mine,
        "waiting_seconds": round(job.seconds, 1),
        "code": code,
        "reason": reason,
        "seconds_left": None if seconds is None else round(seconds),
    }


def blocked(job: Blocked, owner: str) -> dict[str, Any]:
    """A job of the viewer's that waits for others, as `schemas.Waiting` has it."""
    more = f" and {_count(job.missing - 1, 'job')} more" if job.missing > 1 else ""
    left = f", about {_span(job.needs_seconds)} more" if job.needs_seconds is not None else ""
    return {
        "place": None,
        "job": job.id,
        "kind": job.kind,
        "owner": owner,
        "priority": job.priority,
        "mine": True,
        "waiting_seconds": round(job.seconds, 1),
        "code": "inputs",
        "reason": f"it needs {job.needs} ({job.needs_state}{left}){more}",
        "seconds_left": None,
    }


_Why = tuple[schemas.WhyWaiting, str, float | None]
"""Why a job waits, for programs and for people, and after how many seconds that is over, where that can be said."""


def _why(job: Waiting, around: Around) -> _Why:
    return _nothing_starts(job, around) or _at_a_limit(job, around) or _in_line(job, around)


def _nothing_starts(job: Waiting, around: Around) -> _Why | None:
    if around.queue.maintenance is not None:
        return "maintenance", f"no job starts now: {around.queue.maintenance}", None
    if job.slot in around.offers.takers:
        return None
    if job.slot in around.offers.shut:
        return "held", f"every slot that takes such jobs takes nothing now ({around.offers.shut[job.slot]})", None
    return "no_worker", "no worker that takes such jobs is running", None


def _at_a_limit(job: Waiting, around: Around) -> _Why | None:
    if job.max_running is not None and job.running >= job.max_running:
        first = around.first_of.get(job.owner)
        until = f"; the first ends in about {_span(first)}" if first is not None else ""
        whose = "your jobs hold" if job.mine else f"{job.owner}'s jobs hold"
        held = f"{whose} {job.running} of the {_count(job.max_running, 'slot')} that they may hold at once"
        return "running_limit", held + until, first
    if not job.gpu_hours_left:
        spent = f"{job.gpu_hours:.1f} of {job.max_gpu_hours:g} GPU hours of this week are used"
        anew = around.queue.week_ends_in
        return "gpu_hours", f"{spent}: they are counted anew in {_span(anew)} (Monday 00:00 UTC)", anew
    return None


def _in_line(job: Waiting, around: Around) -> _Why:
    busy, ends = around.busy_with[job.slot], around.ends.get(job.slot, ())
    seconds = ends[job.place - 1] if job.exact and job.place <= len(ends) else None
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
