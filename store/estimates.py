"""What a planned submission will take, from measured rates and past jobs; and which networks are to be measured.

Workers measure: `take` gives one of them a network, `record` keeps what it found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import cast

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.estimate import Estimate, Past, Range, Rates, by_rates, estimate, finished_after
from core.work import Network, Work
from store.jobs.submit import Plan, PlannedJob
from store.lifecycle import State
from store.tables import Job, Json, MeasuredNetwork, MeasuredRates, Worker

PAST = 300
"""Past jobs that are looked at, the newest first."""


@dataclass(frozen=True)
class Place:
    """Where accelerator jobs would run: a host's slots of one sort of device."""

    host: str
    device: str
    """`cpu` or `cuda`."""
    slots: int


@dataclass(frozen=True)
class PlanEstimate:
    """What a submission will take on a place of its own."""

    jobs: tuple[Estimate | str, ...]
    """Of each job, in the plan's order; or why there is none."""
    place: Place | None
    seconds: Range | None
    """Until the last job has ended, if no slot is busy with something else. None where a job has no estimate."""
    pending: bool
    """A network is being measured: asked again in a few seconds, there will be more."""

    def missing(self) -> str | None:
        """The first reason why there is no total."""
        return next((job for job in self.jobs if isinstance(job, str)), None)


def of_plan(session: Session, planned: Plan) -> PlanEstimate:
    """Estimate all jobs of a plan; asks for networks that were not measured yet to be measured."""
    works = [job.work for job in planned.jobs] or [planned.work]
    networks = {work.network.key: work.network for work in works if isinstance(work, Work) and work.network}
    place = place_of(session)
    if place is None:
        reason = "no worker is there to do it, or to measure how long it would take"
        return PlanEstimate(tuple(reason for _ in works), None, None, pending=False)
    _ask(session, networks)
    rates, failed = rates_of(session, place, set(networks))
    past = _past(session, place)
    jobs = tuple(_one(work, rates, failed, past) for work in works)
    pending = bool(networks.keys() - rates.keys() - failed.keys())
    known = [job for job in jobs if not isinstance(job, str)]
    seconds = _until_the_end(planned.jobs, known, place.slots) if len(known) == len(jobs) else None
    return PlanEstimate(jobs, place, seconds, pending)


def take(session: Session, *, host: str, device: str, software: str) -> Network | None:
    """A network that somebody asked about in the last hour and that is still to be measured here; None where there is
    none. It is then the caller's to `record` within five minutes."""
    found = session.execute(_TAKE, {"host": host, "device": device, "software": software}).one_or_none()
    return None if found is None else Network.model_validate(session.get_one(MeasuredNetwork, found.key).network)


def record(
    session: Session, network: Network, *, host: str, device: str, rates: Json | None, error: str | None
) -> None:
    """Keep what a network's measurement found, or why it failed."""
    here = (MeasuredRates.key == network.key, MeasuredRates.host == host, MeasuredRates.device == device)
    session.execute(update(MeasuredRates).where(*here).values(rates=rates, error=error))


_TAKE = text("""
    insert into rates (key, host, device, software)
    select networks.key, :host, :device, :software
    from networks
    left join rates on rates.key = networks.key and rates.host = :host and rates.device = :device
    where networks.asked_at > now() - interval '1 hour'
      and (rates.key is null or rates.software <> :software
           or (rates.rates is null and rates.error is null and rates.begun_at < now() - interval '5 minutes'))
    order by networks.asked_at desc
    limit 1
    on conflict (key, host, device) do update
        set software = excluded.software, rates = null, error = null, begun_at = now()
        where rates.software <> excluded.software or rates.begun_at < now() - interval '5 minutes'
    returning key
""")


def place_of(session: Session) -> Place | None:
    """The sort of device of one host with the most slots for accelerator jobs; GPUs before processors."""
    slots: Counter[tuple[str, str]] = Counter()
    for worker in session.scalars(select(Worker)):
        for slot in worker.slots["slots"]:
            if "accelerator" in slot["takes"]:
                slots[worker.host, slot["device"].partition(":")[0]] += 1
    if not slots:
        return None
    (host, device), count = max(slots.items(), key=lambda found: (found[0][1] != "cpu", found[1], found[0]))
    return Place(host, device, count)


def _ask(session: Session, networks: Mapping[str, Network]) -> None:
    if not networks:
        return
    rows = [{"key": key, "network": networks[key].model_dump(mode="json")} for key in sorted(networks)]
    asked = insert(MeasuredNetwork).values(rows)
    session.execute(asked.on_conflict_do_update(index_elements=["key"], set_={"asked_at": func.now()}))


def rates_of(session: Session, place: Place, keys: Collection[str]) -> tuple[dict[str, Rates], dict[str, str]]:
    """Rates by network, and why others could not be measured."""
    here = (MeasuredRates.host == place.host, MeasuredRates.device == place.device, MeasuredRates.key.in_(keys))
    rows = list(session.scalars(select(MeasuredRates).where(*here)))
    rates = {row.key: Rates.model_validate(row.rates) for row in rows if row.rates is not None}
    return rates, {row.key: row.error for row in rows if row.error is not None}


def _past(session: Session, place: Place) -> list[Past]:
    """The newest jobs that ran through here at the first attempt, and whose networks were measured."""
    rows = session.execute(
        select(Job.work, Job.taken)
        .where(Job.state == State.SUCCEEDED, Job.taken.is_not(None), Job.work.is_not(None), Job.fence == 1)
        .order_by(Job.id.desc())
        .limit(PAST)
    )
    here = [
        (Work.model_validate(work), taken)
        for work, taken in rows
        if taken is not None and work is not None and (taken["host"], taken["device"]) == (place.host, place.device)
    ]
    rates, _ = rates_of(session, place, {work.network.key for work, _ in here if work.network is not None})
    past = []
    for work, taken in here:
        key = None if work.network is None else work.network.key
        if key is None or key in rates:
            said = by_rates(work, None if key is None else rates[key])
            memory = taken["memory"] / said.memory if said.memory else 1.0
            past.append(Past(work.group, key, taken["seconds"] / said.seconds, memory))
    return past


def _one(work: Work | str, rates: Mapping[str, Rates], failed: Mapping[str, str], past: list[Past]) -> Estimate | str:
    if isinstance(work, str):
        return work
    if work.network is None:
        return estimate(work, None, past)
    if work.network.key in failed:
        return f"its network could not be measured: {failed[work.network.key]}"
    if work.network.key not in rates:
        return "its network is being measured for the first time: ask again in a moment"
    return estimate(work, rates[work.network.key], past)


def _until_the_end(jobs: tuple[PlannedJob, ...], estimates: list[Estimate], slots: int) -> Range:
    """Of a study its graph on so many slots; of a job alone its own time."""
    if not jobs:
        return estimates[0].seconds

    def with_each(which: str) -> float:
        graph = [
            ("@" + job.node, job.needs, cast(float, getattr(one.seconds, which)))
            for job, one in zip(jobs, estimates, strict=True)
        ]
        return finished_after(graph, slots)

    return Range(with_each("value"), with_each("low"), with_each("high"))
