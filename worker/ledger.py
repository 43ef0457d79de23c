"""A worker's way to the store: transactions that are tried again while PostgreSQL is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from store.blobs import BlobStore
from store.database import Database
from store.settings import Settings
from store.wakeups import Bell
from worker.gate import Gate

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ledger:
    """What all threads of a worker share to read and write with."""

    database: Database
    blobs: BlobStore
    bell: Bell
    settings: Settings
    worker_id: str
    gate: Gate = field(default_factory=Gate)
    looking: threading.Lock = field(default_factory=threading.Lock)
    """Held by the slot that looks for work: woken all at once, they would only be in each other's way."""

    def once(self, work: Callable[[Session], T]) -> T | None:
        """Do `work` in one transaction; None where PostgreSQL cannot be reached now."""
        try:
            with self.database.transaction() as session:
                return work(session)
        except DBAPIError as error:
            if not _away(error):
                raise
            _log.warning("PostgreSQL cannot be reached: %s", str(error.orig).strip())
            return None

    def surely(self, work: Callable[[Session], T]) -> T:
        """Do `work` in one transaction, again and again until PostgreSQL answers. `work` may be done twice: guard it
        by a fence."""
        pause = 0.1
        while True:
            try:
                with self.database.transaction() as session:
                    return work(session)
            except DBAPIError as error:
                if not _away(error):
                    raise
                _log.warning("PostgreSQL cannot be reached, trying again: %s", str(error.orig).strip())
            time.sleep(pause)
            pause = min(2 * pause, 2.0)


def _away(error: DBAPIError) -> bool:
    """A lost connection, a server that starts or stops, a deadlock, a lock that did not come in time."""
    return error.connection_invalidated or isinstance(error, OperationalError)
