"""Which layout of the database this code is made for, and whether it is the one that is there.

A migration leaves what the version before it needs: its workers end their attempts on the new layout, and take no new
ones. The version that migrated is noted as a comment on Alembic's own table, for layouts that stay the same.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from sieve import __version__

_MIGRATIONS = Path(__file__).parent.parent / "migrations"


class Standing(StrEnum):
    """How a database stands to this code. The text is for people."""

    SAME = "made for this version"
    BEHIND = "of an older version: run `alembic upgrade head` (`sieve up` does it at its start)"
    AHEAD = "of a newer version: this process is to be upgraded as well"


def standing(session: Session) -> Standing:
    """Compare the database with this code."""
    if session.scalar(text("select to_regclass('alembic_version')")) is None:
        return Standing.BEHIND
    there = session.scalar(text("select version_num from alembic_version"))
    if there not in _revisions():
        return Standing.AHEAD
    noted = session.scalar(text("select obj_description('alembic_version'::regclass)"))
    version = _parts(noted) if noted else _parts(__version__)
    if version > _parts(__version__):
        return Standing.AHEAD
    return Standing.SAME if there == _revisions()[0] and version == _parts(__version__) else Standing.BEHIND


def note_version(connection: Connection) -> None:
    """Note that this version has migrated the database, if it is as new as this version knows."""
    if connection.scalar(text("select version_num from alembic_version")) != _revisions()[0]:
        return
    connection.execute(text(f"comment on table alembic_version is '{__version__}'"))


@lru_cache(maxsize=1)
def _revisions() -> tuple[str, ...]:
    """All revisions, the newest first."""
    return tuple(script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions())


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
