"""A job that crashes or takes all memory ends failed after three attempts, with its reason; others are unharmed."""

from __future__ import annotations

from collections.abc import Iterator

from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.stage import Stage
from tests.jobs import look
from tests.plugins.rehearsal import RehearsalSpec

REASONS = {"segfault": "killed_by_sigsegv", "no memory": "out_of_memory", "too much memory": "out_of_memory"}
NEIGHBOUR = RehearsalSpec(steps=12, seconds=0.1)


def run(stage: Stage, n: int) -> Iterator[Trial]:
    with stage.at_work() as (place, _):
        for number in range(n):
            ending, reason = list(REASONS.items())[number % len(REASONS)]
            neighbour = place.submit(NEIGHBOUR)
            job = place.until(place.submit(RehearsalSpec(ending=ending)), seconds=30)  # type: ignore[arg-type]
            found = Auditor.of(place).check([job.id], end=("failed",))
            if job.status_code != reason or job.fence != 3 or not job.status_message:
                found.append(f"{ending}: {job.status_code} after {job.fence} attempts: {job.status_message}")
            place.until(neighbour)
            found += Auditor.of(place).check([neighbour.id])
            if look(place.database, neighbour.id).fence != 1:
                found.append(f"{neighbour.id}, beside it, was harmed")
            yield Trial(1, found, {"reason": str(job.status_code)})


DRILL = Drill(
    name="crashing",
    holds="an out-of-memory or crashing job ends failed with its reason after 3 attempts, others unharmed",
    full=30,
    short=3,
    shares=True,
    seconds=5,
    run=run,
    without=("tests.drills.protections:no_charging",),
)
