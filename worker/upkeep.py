"""Upkeep: a thread in each worker that now and then lets go what is kept too long, and collects garbage."""

from __future__ import annotations

import logging
import random
import threading

from sqlalchemy.exc import DBAPIError

from store.garbage import ROUND, collect
from store.retention import forget
from store.uploads import clear, forget_old
from worker.ledger import Ledger

_log = logging.getLogger(__name__)


class Upkeep:
    """Rounds of upkeep, about `garbage_seconds` apart; of all workers one at a time, and none during a backup."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin; the first round comes after a part of the time between two."""
        self._thread.start()

    def stop(self) -> None:
        """No more rounds. One that runs ends with the process: it may be interrupted anywhere."""
        self._ended.set()

    def _run(self) -> None:
        pause = self._ledger.settings.garbage_seconds
        wait = pause * random.uniform(0.1, 1)  # noqa: S311 - so that workers started together do not go together
        while not self._ended.wait(wait):
            wait = pause
            try:
                self._round()
            except (OSError, DBAPIError) as error:
                _log.warning("upkeep is put off: %s", error)
            except Exception:
                _log.exception("upkeep")

    def _round(self) -> None:
        ledger = self._ledger
        if ledger.gate.shut:
            return
        with ledger.database.alone(ROUND) as mine:
            if mine:
                forgotten = forget(ledger.database, ledger.settings)
                with ledger.database.transaction() as session:
                    uploads = forget_old(session, ledger.settings.keep_uploads_days)
                for upload in uploads:
                    clear(ledger.settings, upload)
                collected = collect(ledger.database, ledger.blobs, wait_seconds=ledger.settings.garbage_seconds)
                _log.info("upkeep: %s, %d uploads, %s", forgotten, len(uploads), collected)
