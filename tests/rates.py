"""A worker that measures networks, played by hand: on its machine every pass takes `STEP`, whatever its size."""

from __future__ import annotations

from typing import get_args

from core.estimate import Point, Rates
from core.work import Network, PassKind
from store import estimates, workers
from store.database import Database
from store.tables import Json
from tests.working import eventually

HERE = {"host": "desk", "device": "cpu"}
STEP = 0.01
WEIGHTS = 10_000
_SLOTS: list[Json] = [{"name": f"cpu:{at}", "device": "cpu", "takes": ["accelerator"], "job": None} for at in range(2)]


def worker_comes(database: Database) -> None:
    with database.transaction() as session:
        workers.register(session, "wrk_desk", host="desk", pid=1, version="0", slots=_SLOTS)


def take(database: Database, software: str = "first") -> Network | None:
    with database.transaction() as session:
        return estimates.take(session, software=software, **HERE)


def measured(database: Database, error: str | None = None) -> None:
    """Measure every network that was asked for, or fail to; wait until somebody asks."""
    network: Network | None = eventually(lambda: take(database), 30)
    points = tuple(Point(images=images, seconds=STEP, memory=1 << 20) for images in (16, 64))
    rates = Rates(passes=dict.fromkeys(get_args(PassKind), points), base=1 << 28, weights=WEIGHTS)
    found = None if error else rates.model_dump(mode="json")
    while network is not None:
        with database.transaction() as session:
            estimates.record(session, network, rates=found, error=error, **HERE)
        network = take(database)
