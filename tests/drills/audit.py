"""The auditor: reads only the database and the blobs, and says what is wrong with some jobs.

0 lost jobs: each has ended, and as it should. Its changes of state are one legal chain that a terminal state ends; its
events have no gap. Each claim is one attempt, and what is written while an attempt holds a job is that attempt's own.
An attempt resumes from the newest whole checkpoint. Files are there once, whole, by their hash; those of a job that did
not succeed are not there at all. Jobs with one spec have the same files and figures, bit for bit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import Any

from sqlalchemy import Row, text

from store.blobs import DiskBlobs, sha256_of
from store.database import Database
from store.jobs.renew import KEPT
from store.lifecycle import TERMINAL, State, legal
from tests.drills.saboteur import Strike
from tests.working import Workplace

_SLACK = 0.75
"""Seconds that a checkpoint may come late: saving and publishing takes time too."""


class Auditor:
    """Looks at one database and its blobs."""

    def __init__(self, database: Database, blobs: DiskBlobs) -> None:
        self._database = database
        self._blobs = blobs
        self._whole: set[str] = set()

    @classmethod
    def of(cls, place: Workplace) -> Auditor:
        """Of the database and blobs of a place."""
        return cls(place.database, DiskBlobs(place.home / "blobs"))

    def check(
        self,
        jobs: Collection[str],
        *,
        end: Collection[str] = ("succeeded",),
        strikes: Collection[Strike] = (),
        patience: float = 1,
        retried: bool = False,
    ) -> list[str]:
        """What is wrong with these jobs, which should all be in a state of `end`. `retried`: owners may have done so.

        With `strikes`, also whether a kill cost more than the time between two checkpoints, times `patience`.
        """
        found: list[str] = []
        events = self._events(jobs)
        for job in self._rows("select * from jobs where id = any(:jobs) order by id", jobs):
            said = events[job.id]
            if job.state not in end:
                found.append(f"{job.id} ({job.kind}) is {job.state} ({job.status_code}: {job.status_message})")
            found += (f"{job.id} ({job.kind}): {wrong}" for wrong in _story(job, said, retried=retried))
            if job.slot != "none":
                found += (f"{job.id} ({job.kind}): {wrong}" for wrong in _attempts(job, said))
        found += self._files(jobs)
        found += self._twins(jobs)
        found += redone(events, strikes, patience)
        missing = set(jobs) - set(events)
        return [*found, *(f"{job} is lost" for job in sorted(missing))]

    def references(self) -> list[str]:
        """Checkpoints and artifacts of all jobs whose blob is not there or not whole."""
        rows = self._rows(
            """
            select job_id, 'the checkpoint of step ' || step as what, sha256 from checkpoints
            union all select job_id, name, sha256 from artifacts
            """,
            (),
        )
        return [f"{row.job_id}: {row.what} {wrong}" for row in rows for wrong in self._blob(row.sha256)]

    def resumed(self, jobs: Collection[str]) -> list[int]:
        """The steps that attempts were resumed at."""
        rows = self._rows("select data from events where type = 'resumed' and job_id = any(:jobs)", jobs)
        return [row.data["step"] for row in rows]

    def took(self, job: str, type: str = "state") -> float:
        """Seconds from a job's first event to its last change of state."""
        query = "select extract(epoch from max(at) - min(at)) from events where job_id = any(:jobs) and type = :type"
        with self._database.transaction() as session:
            return float(session.execute(text(query), {"jobs": [job], "type": type}).scalar_one())

    def _rows(self, query: str, jobs: Collection[str]) -> list[Row[Any]]:
        with self._database.transaction() as session:
            return list(session.execute(text(query), {"jobs": list(jobs)} if ":jobs" in query else {}))

    def _events(self, jobs: Collection[str]) -> dict[str, list[Row[Any]]]:
        events: dict[str, list[Row[Any]]] = {}
        for row in self._rows("select * from events where job_id = any(:jobs) order by job_id, id", jobs):
            events.setdefault(row.job_id, []).append(row)
        return events

    def _files(self, jobs: Collection[str]) -> Iterator[str]:
        query = "select a.*, j.state as job_state, j.kind from artifacts a join jobs j on j.id = a.job_id"
        seen: set[tuple[str, str]] = set()
        for file in self._rows(query + " where a.job_id = any(:jobs)", jobs):
            name = f"{file.job_id} ({file.kind}): {file.name}"
            if (file.job_id, file.name) in seen:
                yield f"{name} was published twice"
            seen.add((file.job_id, file.name))
            if file.job_state != State.SUCCEEDED:
                yield f"{name} is there, and its job {file.job_state}"
            yield from (f"{name} {wrong}" for wrong in self._blob(file.sha256))
        made = "select id, kind from jobs where id = any(:jobs) and state = 'succeeded' and kind = :kind"
        for kind, table in (("train", "models"), ("synthesize", "datasets")):
            without = (
                made.replace(":kind", f"'{kind}'") + f" and (select count(*) from {table} m where m.job_id = jobs.id)"
            )
            yield from (f"{row.id} ({kind}) has not made one {table}" for row in self._rows(without + " <> 1", jobs))

    def _blob(self, sha256: str) -> Iterator[str]:
        if sha256 in self._whole:
            return
        path = self._blobs.path(sha256)
        if not path.is_file():
            yield f"has no blob {sha256[:8]}"
        elif sha256_of(path) != sha256:
            yield f"has the blob {sha256[:8]}, which is damaged"
        else:
            self._whole.add(sha256)

    def _twins(self, jobs: Collection[str]) -> Iterator[str]:
        query = """
            select j.id, j.kind, j.spec, j.result,
                   (select json_agg(json_build_array(a.name, a.sha256) order by a.name)
                    from artifacts a where a.job_id = j.id) as files
            from jobs j where j.state = 'succeeded' and j.slot <> 'none' and j.spec in
                (select spec from jobs where id = any(:jobs)) order by j.id
        """
        first: dict[str, Row[Any]] = {}
        for job in self._rows(query, jobs):
            other = first.setdefault(json.dumps(job.spec, sort_keys=True), job)
            if job.files != other.files:
                yield f"{job.id} ({job.kind}) made other files than {other.id}, of the same spec"
            if _without_times(job.result) != _without_times(other.result):
                yield f"{job.id} ({job.kind}) found other figures than {other.id}, of the same spec"


def _story(job: Row[Any], events: list[Row[Any]], *, retried: bool) -> Iterator[str]:
    """One legal chain of states, and no gap among the events."""
    if [event.id for event in events] != list(range(1, job.last_event + 1)):
        yield f"its events are {[event.id for event in events]}, the last should be {job.last_event}"
    state: str | None = None
    for event in events:
        if event.type != "state":
            continue
        before, after = event.data["from"], event.data["to"]
        if before != state:
            yield f"it went from {before} to {after} when it was {state}"
        elif before is not None and not legal(State(before), State(after)):
            yield f"it went from {before} to {after}"
        elif before in TERMINAL and not retried:
            yield f"it had {before}, and went to {after}"
        state = after
    if state != job.state:
        yield f"its last event says {state}, its row {job.state}"
    if (job.finished_at is None) == (job.state in TERMINAL):
        yield f"it is {job.state} and finished at {job.finished_at}"


def _attempts(job: Row[Any], events: list[Row[Any]]) -> Iterator[str]:
    """One attempt a claim, and no other one's words in it."""
    fence, saved, step = 0, [0], 0
    running, resumed, damages = False, False, 0  # with all that are kept damaged it may begin anywhere
    for event in events:
        far = event.type == "checkpoint" or event.data.get("to") == State.SUCCEEDED
        if running and far and not resumed and len(saved) > 1 and damages < KEPT:
            yield f"attempt {fence} began at the beginning, saved were {saved[1:]}"
            saved = [0]
        if event.type == "state":
            running, resumed = event.data["to"] == State.RUNNING, False
            fence += running
            step = damages = 0
        elif not running:
            yield f"{event.type} was written while nobody held it"
        elif event.type == "started" and event.data["attempt"] != fence:
            yield f"attempt {event.data['attempt']} wrote while attempt {fence} held it"
        elif event.type == "resumed":
            resumed = True
            step = event.data["step"]
            if step != saved[-1] and damages < KEPT:
                yield f"attempt {fence} resumed at step {step}, saved were {saved[1:]}"
        elif event.type == "checkpoint":
            if event.data["step"] <= step:
                yield f"step {event.data['step']} was saved after step {step} in attempt {fence}"
            step, resumed = event.data["step"], True
            saved = [*(one for one in saved if one < step), step]
        elif damaged := re.search(r"checkpoint of step (\d+) is damaged", str(event.data.get("message"))):
            damages += 1
            saved = [one for one in saved if one < int(damaged[1])]
    if fence != job.fence:
        yield f"it was claimed {job.fence} times and ran {fence} times"


def redone(events: dict[str, list[Row[Any]]], strikes: Collection[Strike], patience: float = 1) -> Iterator[str]:
    """No kill costs more than the longest time between two checkpoints."""
    marks = ("checkpoint", "started", "state")
    for id, said in events.items():
        marked = [event for event in said if event.type in marks]
        gaps = [(b.at - a.at).total_seconds() for a, b in pairwise(marked) if b.type == "checkpoint"]
        for one in strikes:
            last = next((event for event in reversed(marked) if event.at <= one.at), None)
            # an attempt whose newest mark is its claim had not begun yet: it had nothing to lose
            if id in one.jobs and last is not None and last.type != "state" and gaps:
                lost = (one.at - last.at).total_seconds()
                if lost > patience * (max(gaps) + _SLACK):
                    yield f"{id}: a kill cost {lost:.1f} s, checkpoints were at most {max(gaps):.1f} s apart"


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(item) for key, item in value.items() if key not in ("seconds", "environment")}
    return [_without_times(item) for item in value] if isinstance(value, list) else value
