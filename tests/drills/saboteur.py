"""Who hurts processes, and remembers it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from store.database import Database
from store.tables import Job
from tests.working import descendants, eventually, statuses


@dataclass(frozen=True)
class Strike:
    """A kill -9."""

    at: datetime
    """By the database's clock."""
    jobs: frozenset[str]
    """What ran then."""


def kill(*pids: int) -> None:
    """kill -9, whoever is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def strike(database: Database, *pids: int) -> Strike:
    """kill -9, and remember when, and what ran."""
    with database.transaction() as session:
        jobs = session.scalars(select(Job.id).where(Job.state == "running", Job.slot != "none")).all()
        kill(*pids)
        at = session.scalars(select(func.clock_timestamp())).one()
    return Strike(at, frozenset(jobs))


def family(worker: subprocess.Popen[bytes]) -> tuple[int, list[int]]:
    """A worker's nursery, and the children that do attempts."""
    found = statuses()
    (nursery,) = [pid for pid, (parent, _) in found.items() if parent == worker.pid]
    return nursery, [pid for pid, (parent, _) in found.items() if parent == nursery]


def left_after(pids: Iterable[int], seconds: float) -> list[str]:
    """Commands of those that are still there after so many seconds."""
    pids = set(pids)
    with contextlib.suppress(AssertionError):
        eventually(lambda: not pids & set(statuses()), seconds)
    return [f"{pid}: {command}" for pid, (_, command) in statuses().items() if pid in pids]


def all_of(worker: subprocess.Popen[bytes]) -> list[int]:
    """A worker and all that descends from it."""
    return [worker.pid, *descendants(worker.pid)]
