"""The gate: a worker takes jobs only while the database is made for its version."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from store.schema import Standing, standing

if TYPE_CHECKING:
    from worker.ledger import Ledger

_log = logging.getLogger(__name__)


class Gate:
    """Shut while the database is of another version. Attempts that run go on."""

    def __init__(self) -> None:
        self.standing: Standing | None = None
        """As it was seen last; None before it was."""

    @property
    def shut(self) -> bool:
        """May no job be taken now?"""
        return self.standing is not Standing.SAME

    def look(self, ledger: Ledger) -> None:
        """See how the database stands, and say what has changed. One that cannot be reached stands as before."""
        now = ledger.once(standing)
        if now is None or now is self.standing:
            return
        if now is not Standing.SAME:
            _log.warning("takes no jobs: the database is %s", now)
        elif self.standing is not None:
            _log.info("takes jobs again: the database is %s", now)
        self.standing = now
