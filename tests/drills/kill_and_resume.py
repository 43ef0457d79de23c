"""kill -9 of the worker, again and again, while a study runs: it ends as if nothing had happened.

The study is run twice, each time on an empty database and empty blobs: undisturbed, and with kills at random moments of
trainings, constructions and evaluations. Every third kill takes nursery and children in the same moment. Held means:
the study succeeded; every file of every job (datasets, weights, table) has the same hash; figures are equal but for
times; nothing outlived its worker by five seconds; jobs were resumed at a step above 0, each from its newest
checkpoint; and no kill cost more than the longest time between two checkpoints.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import select

from sieve.specs import Spec
from store.blobs import DiskBlobs, sha256_of
from store.tables import Artifact, Event, Job
from tests.working import Workplace, descendants, eventually, kill, statuses

KINDS = ("train", "synthesize", "evaluate")
CHECKPOINT_SECONDS = 1.0
SETTINGS = {
    "SIEVE_CHECKPOINT_SECONDS": str(CHECKPOINT_SECONDS),
    "SIEVE_MAX_FAILURES": "1000",  # a lost worker is charged to its job
}


@dataclass(frozen=True)
class Kill:
    """One kill -9."""

    at: datetime
    jobs: dict[str, str]
    """Kinds of the jobs that ran, by id."""
    orphans: int
    """Processes below the worker that were still there 5 s later."""


@dataclass
class Run:
    """What one run of the study left."""

    state: str
    seconds: float
    files: dict[str, str] = field(default_factory=dict)
    """sha256 by `node/name`."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Results by node, without times and ids."""
    damaged: list[str] = field(default_factory=list)
    """Files whose blob does not have the hash that it is named by."""
    kills: list[Kill] = field(default_factory=list)
    resumed: list[tuple[str, int]] = field(default_factory=list)
    """Kind and step of every resumption."""
    resumed_elsewhere: int = 0
    """Resumptions that did not start at the newest checkpoint."""
    redone: list[float] = field(default_factory=list)
    """Seconds of work that each kill cost a job."""
    gaps: list[float] = field(default_factory=list)
    """Seconds between two neighbouring checkpoints."""


def run_study(place: Workplace, spec: Spec, *, kills: int, seed: int) -> Run:
    """Run a study with a worker that is killed so many times."""
    draw = random.Random(seed)
    began = time.monotonic()
    done: list[Kill] = []
    with contextlib.ExitStack() as stack:
        worker = stack.enter_context(place.working())
        study = place.submit(spec)
        while len(done) < kills:
            kind = KINDS[3 * len(done) // kills]  # as they come in the study, so that each is hit as often
            saving = float(place.settings["SIEVE_CHECKPOINT_SECONDS"]) < 1000
            if not _a_good_moment(place, study, kind, deep=saving and draw.random() < 0.7):
                break
            time.sleep(draw.uniform(0, 1.5 * CHECKPOINT_SECONDS))
            done.append(_kill(place, study, worker, everyone=len(done) % 3 == 2))
            worker = stack.enter_context(place.working())
        ended = place.until(study, "succeeded", "failed", "cancelled", seconds=1800)
    return _audit(place, ended, Run(ended.state, time.monotonic() - began, kills=done))


def _a_good_moment(place: Workplace, study: Job, kind: str, *, deep: bool) -> bool:
    """Wait until a job of this kind (of any, once there is none left) runs, and has saved something if `deep`.

    False when the study ended before.
    """
    while True:
        with place.database.transaction() as session:
            parts = session.scalars(select(Job).where(Job.study_id == study.id)).all()
            going = [job for job in parts if job.finished_at is None]
            wanted = [job for job in going if job.kind == kind] or going
            for job in wanted:
                query = select(Event.type).where(Event.job_id == job.id).order_by(Event.id.desc())
                since = list(session.scalars(query))
                attempt = since[: since.index("state")] if job.state == "running" else []
                if "started" in attempt and (not deep or "checkpoint" in attempt):
                    return True
        if not going:
            return False
        time.sleep(0.05)


def _kill(place: Workplace, study: Job, worker: subprocess.Popen[bytes], *, everyone: bool) -> Kill:
    below = descendants(worker.pid)
    for pid in [worker.pid, *(below if everyone else [])]:
        with contextlib.suppress(ProcessLookupError):
            kill(pid)
    at = datetime.now(UTC)
    worker.wait()
    with place.database.transaction() as session:
        running = select(Job).where(Job.study_id == study.id, Job.state == "running")
        jobs = {job.id: job.kind for job in session.scalars(running)}
    try:
        eventually(lambda: not set(below) & set(statuses()), 5)
        orphans = 0
    except AssertionError:
        orphans = len(set(below) & set(statuses()))
    return Kill(at, jobs, orphans)


def _audit(place: Workplace, study: Job, run: Run) -> Run:
    """Read database and blobs."""
    blobs = DiskBlobs(place.home / "blobs")
    with place.database.transaction() as session:
        jobs = session.scalars(select(Job).where(Job.study_id == study.id).order_by(Job.id)).all()
        nodes = {job.id: job.node for job in jobs}
        for job in jobs:
            run.figures[str(job.node)] = _comparable(job.result, nodes)
            for artifact in session.scalars(select(Artifact).where(Artifact.job_id == job.id)):
                name = f"{job.node}/{artifact.name}"
                assert name not in run.files, f"{name} was published twice"
                run.files[name] = artifact.sha256
                if sha256_of(blobs.path(artifact.sha256)) != artifact.sha256:
                    run.damaged.append(name)
            events = session.scalars(select(Event).where(Event.job_id == job.id).order_by(Event.id)).all()
            _audit_events(job, list(events), run)
    return run


def _audit_events(job: Job, events: list[Event], run: Run) -> None:
    saved: Event | None = None
    for event in events:
        if event.type == "resumed":
            run.resumed.append((job.kind, event.data["step"]))
            run.resumed_elsewhere += saved is None or event.data["step"] != saved.data["step"]
        if event.type == "checkpoint":
            saved = event
    for first, second in pairwise([event for event in events if event.type in ("checkpoint", "started", "state")]):
        if second.type == "checkpoint":
            run.gaps.append((second.at - first.at).total_seconds())
    for one in run.kills:
        if job.id in one.jobs and (last := _last_saved([event for event in events if event.at <= one.at])):
            run.redone.append((one.at - last.at).total_seconds())


def _last_saved(events: list[Event]) -> Event | None:
    """Where the attempt that these events end in would be resumed from; None before its child has begun."""
    for event in reversed(events):
        if event.type in ("checkpoint", "started"):
            return event
        if event.type == "state":
            break
    return None


def _comparable(value: Any, nodes: dict[str, str | None]) -> Any:
    """Figures without times, and with nodes in the place of job ids."""
    if isinstance(value, dict):
        return {key: _comparable(item, nodes) for key, item in value.items() if key != "seconds"}
    if isinstance(value, list):
        return [_comparable(item, nodes) for item in value]
    return nodes.get(value, value) if isinstance(value, str) else value


def compare(undisturbed: Run, disturbed: Run, *, kills: int) -> dict[str, Any]:
    """What held, as the line that is printed."""
    different = sorted(
        name
        for name in {*undisturbed.files, *disturbed.files}
        if undisturbed.files.get(name) != disturbed.files.get(name)
    )
    unequal = [node for node, found in undisturbed.figures.items() if disturbed.figures.get(node) != found]
    longest_gap = max([*undisturbed.gaps, *disturbed.gaps], default=0.0)
    redone = max(disturbed.redone, default=0.0)
    hit = [kind for one in disturbed.kills for kind in one.jobs.values()]
    above_zero = {kind: sum(k == kind and step > 0 for k, step in disturbed.resumed) for kind in KINDS}
    held = {
        "succeeded": undisturbed.state == disturbed.state == "succeeded",
        "all_kills": len(disturbed.kills) >= kills,
        "files_identical": bool(undisturbed.files) and not different and not undisturbed.damaged + disturbed.damaged,
        "figures_identical": not unequal,
        "resumed_above_zero": sum(above_zero.values()) > 0,
        "resumed_from_the_newest": disturbed.resumed_elsewhere == 0,
        "at_most_one_interval_redone": redone <= longest_gap + 0.5,
        "no_orphans": not any(one.orphans for one in disturbed.kills),
    }
    return {
        "drill": "kill_and_resume",
        "held": all(held.values()),
        "what_held": held,
        "kills": len(disturbed.kills),
        "hit": {kind: hit.count(kind) for kind in KINDS},
        "resumed_above_zero": above_zero,
        "files": len(undisturbed.files),
        "different": different + unequal,
        "redone_seconds_max": round(redone, 2),
        "between_checkpoints_seconds_max": round(longest_gap, 2),
        "seconds": {"undisturbed": round(undisturbed.seconds, 1), "disturbed": round(disturbed.seconds, 1)},
    }


def drill(
    places: Callable[[str], AbstractContextManager[Workplace]],
    spec: Spec,
    *,
    kills: int,
    seed: int,
    settings: dict[str, str],
) -> dict[str, Any]:
    """Both runs, each in a place of its own, and what held."""
    runs = []
    for name, count in (("undisturbed", 0), ("disturbed", kills)):
        with places(name) as place:
            place.settings = SETTINGS | settings
            runs.append(run_study(place, spec, kills=count, seed=seed))
    return compare(*runs, kills=kills)
