"""Checkpoints and blobs are cut short or get a bit flipped: it is noticed, and the checkpoint before is used."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from store.blobs import DiskBlobs
from store.errors import IllegalTransition
from store.jobs import wish
from store.tables import Artifact, JobCheckpoint
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.load import TRAIN, synthesize
from tests.drills.stage import Place, Stage
from tests.jobs import look
from tests.plugins.rehearsal import RehearsalSpec
from tests.working import eventually

REHEARSAL = RehearsalSpec(steps=16, seconds=0.1)
TRAINING = {**TRAIN, "epochs": 30}
WAYS = ("a bit", "cut short", "empty", "a bit of both", "missing")


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """Every fourth time it is the model that a synthesis is given: it must fail, and say so."""
    with stage.at_work() as (place, _):
        for spec in (REHEARSAL, TRAINING):
            place.until(place.submit(spec), "succeeded", seconds=60)
        model = place.until(place.submit({**TRAINING, "seed": stage.draw.getrandbits(30)}), "succeeded", seconds=60)
        for number in range(n):
            way = WAYS[number // 2 % len(WAYS)]
            if number % 4 == 3:
                yield _blob(place, model.id, way, stage.draw)
            else:
                yield _checkpoint(place, TRAINING if number % 2 else REHEARSAL, way, stage.draw)


def _checkpoint(place: Place, spec: object, way: str, draw: random.Random) -> Trial:
    job = place.submit(spec)
    eventually(lambda: len(_checkpoints(place, job.id)) == 2 or look(place.database, job.id).finished_at, 60, place.log)
    try:
        place.ask(job, wish.pause)
    except IllegalTransition:  # it was quicker
        return Trial(0)
    if place.until(job).state != "paused":
        return Trial(0)
    files = [DiskBlobs(place.home / "blobs").path(sha256) for sha256 in _checkpoints(place, job.id)]
    before = [file.read_bytes() for file in files]
    damaged = files if way == "a bit of both" else files[:1]
    for file in damaged:
        damage(file, way, draw)
    place.ask(job, wish.resume)
    place.until(job, "succeeded", "failed", seconds=60)
    auditor = Auditor.of(place)
    found = auditor.check([job.id])
    resumed = auditor.resumed([job.id])
    if len(resumed) > len(files) - len(damaged):
        found.append(f"{job.id} resumed at {resumed}, with {len(damaged)} of {len(files)} checkpoints damaged")
    for file, data in zip(files, before, strict=True):
        heal(file, data)
    return Trial(1, found, {"what": "checkpoint", "damage": way})


def _blob(place: Place, model: str, way: str, draw: random.Random) -> Trial:
    with place.database.transaction() as session:
        sha256 = session.scalars(select(Artifact.sha256).where(Artifact.job_id == model)).one()
    file = DiskBlobs(place.home / "blobs").path(sha256)
    data = file.read_bytes()
    damage(file, way, draw)
    try:
        job = place.until(place.submit(synthesize(model)), "succeeded", "failed", seconds=60)
    finally:
        heal(file, data)
    found = Auditor.of(place).check([job.id], end=("failed",))
    if job.status_code not in ("damaged_file", "input_missing"):
        found.append(f"{job.id} does not say that its model is damaged: {job.status_code}: {job.status_message}")
    return Trial(1, found, {"what": "blob", "damage": way})


def _checkpoints(place: Place, job: str) -> list[str]:
    """Hashes, the newest first."""
    newest = JobCheckpoint.fence.desc(), JobCheckpoint.step.desc()
    with place.database.transaction() as session:
        return list(session.scalars(select(JobCheckpoint.sha256).where(JobCheckpoint.job_id == job).order_by(*newest)))


def damage(file: Path, way: str, draw: random.Random) -> None:
    data = bytearray(file.read_bytes())
    file.chmod(0o644)
    if way == "missing":
        file.unlink()
    elif way == "cut short":
        file.write_bytes(data[: draw.randrange(1, len(data))])
    elif way == "empty":
        file.write_bytes(b"")
    else:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        file.write_bytes(data)


def heal(file: Path, data: bytes) -> None:
    """As it was before, for the jobs that come after."""
    file.unlink(missing_ok=True)
    file.write_bytes(data)
    file.chmod(0o444)


DRILL = Drill(
    name="damage",
    holds="every damaged checkpoint or blob is noticed, the previous one used: truncation and bit flips",
    full=200,
    short=4,
    shares=True,
    run=run,
    without=("tests.drills.protections:no_digests",),
)
