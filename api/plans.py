"""What a dry run answers: the jobs that a submission would make, and what they would take."""

from __future__ import annotations

from typing import Any

from api.schemas import Schema
from core import estimate
from core.references import references
from sieve.specs import Spec
from store.estimates import PlanEstimate as Found
from store.jobs import submit


class Range(Schema):
    """An estimated value. Of 10 past jobs that it rests on, 8 were between `low` and `high`."""

    value: float
    low: float
    high: float


class Estimate(Schema):
    """What a job will take on one slot: measured rates of its network, times its work, corrected by past jobs."""

    seconds: Range | None = None
    memory_bytes: Range | None = None
    """At the peak: of the machine's memory on a processor (PyTorch itself included), else of the GPU's."""
    disk_bytes: int | None = None
    """Of the files that it keeps."""
    past_jobs: int = 0
    """Past jobs of its sort that it was corrected by. 0: there were too few, and the range is a guess: a factor of two,
    of three for an evaluation, either way."""
    missing: str | None = None
    """Why there is no estimate."""


class PlanEstimate(Schema):
    """What all jobs of a submission will take together."""

    seconds: Range | None = None
    """From the start of the first to the end of the last, if no slot is busy with something else."""
    slot_seconds: float | None = None
    """Summed over the jobs."""
    memory_bytes: Range | None = None
    """Of the largest job."""
    disk_bytes: int | None = None
    host: str | None
    """Where it was measured."""
    device: str | None
    """`cpu` or `cuda`."""
    slots: int
    """That the jobs can share."""
    pending: bool
    """A network is being measured; asked again in a few seconds, there will be more."""
    missing: str | None
    """Why there is no estimate of the whole."""


class PlannedJob(Schema):
    """A job that a submission would make."""

    kind: str
    node: str | None
    needs: list[str]
    """Nodes (`@…`) and jobs whose results it reads."""
    produces: dict[str, Any] | None
    estimate: Estimate


class Plan(Schema):
    """What a submission would make, and take."""

    kind: str
    spec: dict[str, Any]
    jobs: list[PlannedJob]
    estimate: PlanEstimate


def plan(planned: submit.Plan, found: Found) -> Plan:
    """What a submission would make, and take."""
    alone = ((planned.kind, None, _needs(planned.spec), planned.produces),)
    jobs = tuple((node.kind, node.node, list(node.needs), node.produces) for node in planned.jobs)
    return Plan(
        kind=planned.kind.name,
        spec=planned.spec.model_dump(mode="json"),
        jobs=[
            PlannedJob(kind=kind.name, node=node, needs=needs, produces=produces, estimate=_estimate(one))
            for (kind, node, needs, produces), one in zip(jobs or alone, found.jobs, strict=True)
        ],
        estimate=_whole(found),
    )


def _estimate(one: estimate.Estimate | str) -> Estimate:
    if isinstance(one, str):
        return Estimate(missing=one)
    return Estimate(
        seconds=_range(one.seconds), memory_bytes=_range(one.memory), disk_bytes=one.files, past_jobs=one.past
    )


def _whole(found: Found) -> PlanEstimate:
    known = [one for one in found.jobs if not isinstance(one, str)]
    place = found.place
    whole = PlanEstimate(
        pending=found.pending,
        missing=found.missing(),
        host=None if place is None else place.host,
        device=None if place is None else place.device,
        slots=0 if place is None else place.slots,
    )
    if found.seconds is not None:
        whole.seconds = _range(found.seconds)
        whole.slot_seconds = sum(one.seconds.value for one in known)
        whole.memory_bytes = _range(max((one.memory for one in known), key=lambda memory: memory.value))
        whole.disk_bytes = sum(one.files for one in known)
    return whole


def _range(found: estimate.Range) -> Range:
    return Range(value=found.value, low=found.low, high=found.high)


def _needs(spec: Spec) -> list[str]:
    return list(dict.fromkeys(ref.name for _, ref in references(spec) if ref.name.startswith("job_")))
