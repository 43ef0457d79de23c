"""Jobs to hurt: each takes a few seconds and saves many checkpoints, and each gives the same bits however often."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from sieve.specs import Spec
from store.jobs.submit import submit
from store.tables import Event, Job
from tests.drills.stage import Place
from tests.jobs import look
from tests.plugins.rehearsal import RehearsalSpec
from tests.working import eventually

TRAIN: dict[str, Any] = {
    "kind": "train",
    "dataset": {"name": "digits", "limit_train": 600, "limit_test": 100},
    "architecture": "convnet",
    "adversary": {"norm": "l2", "epsilon": 0.5, "steps": 3},
    "epochs": 24,
}
REHEARSAL = RehearsalSpec(steps=16, seconds=0.15)


def synthesize(model: str) -> dict[str, Any]:
    """Five blocks of 256 images, about half a second each."""
    construction = {"method": "random_target", "steps": 90}
    return {"kind": "synthesize", "dataset": "digits", "model": model, "construction": construction}


class Mix:
    """Rehearsals, and as many real trainings and syntheses, in turn; each was done once undisturbed before."""

    def __init__(self, place: Place) -> None:
        """Does each once: what the auditor compares the others of the same spec with."""
        self._place = place
        trained = place.until(place.submit(TRAIN), "succeeded", seconds=120)
        self.specs: list[Spec | dict[str, Any]] = [REHEARSAL, TRAIN, REHEARSAL, synthesize(trained.id)]
        first = [place.submit(REHEARSAL), place.submit(self.specs[3])]
        self.undisturbed = [trained.id, *(place.until(job, "succeeded", seconds=120).id for job in first)]
        self._next = 0

    def submit(self) -> Job:
        """The next."""
        self._next += 1
        return self._place.submit(self.specs[(self._next - 1) % len(self.specs)])


def in_the_middle(place: Place, job: Job, *, saved: bool = True) -> bool:
    """Wait until a job runs and, if `saved`, has published a checkpoint. False where it ended before."""

    def there() -> str:
        with place.database.transaction() as session:
            newest = session.scalars(select(Event.type).where(Event.job_id == job.id).order_by(Event.id.desc())).all()
        now = look(place.database, job.id)
        if now.finished_at is not None:
            return "ended"
        attempt = newest[: newest.index("state")] if now.state == "running" else []
        return "there" if "started" in attempt and (not saved or "checkpoint" in attempt) else ""

    return eventually(there, 60, place.log) == "there"


def many(place: Place, count: int, spec: Spec) -> list[str]:
    """Submit many of one kind in few transactions, and ring once. Gives their ids."""
    ids: list[str] = []
    while len(ids) < count:
        with place.database.transaction() as session:
            batch = min(100, count - len(ids))
            ids += [submit(session, owner=place.owner, spec=spec).job.id for _ in range(batch)]
    place.bell.ring()
    return ids
