"""How Alembic reaches the database. The url is DATABASE_URL's, or the one that the caller put in `sqlalchemy.url`.

Two that upgrade at once wait for each other at an advisory lock; a change that cannot get a table's lock within
seconds gives up rather than make everyone else wait behind it, and is tried again.
"""

from __future__ import annotations

import time

from alembic import context
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, create_engine, pool, text
from sqlalchemy.exc import OperationalError

from store.schema import note_version
from store.settings import settings
from store.tables import Table

_UPGRADES = 0x51E5E002
"""Key of the advisory lock."""
_TRIES = 60
_PAUSE_SECONDS = 2.0


def main() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or settings().database_url
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("set lock_timeout = '10min'"))
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": _UPGRADES})
        connection.execute(text("set lock_timeout = '3s'"))
        connection.execute(text("set statement_timeout = '30min'"))
        connection.commit()
        for left in reversed(range(_TRIES)):
            try:
                _run(connection)
                break
            except OperationalError as error:
                if not isinstance(error.orig, LockNotAvailable | DeadlockDetected) or not left:
                    raise
                connection.rollback()
                time.sleep(_PAUSE_SECONDS)
    engine.dispose()


def _run(connection: Connection) -> None:
    """Each migration in a transaction of its own: what was done stays done."""
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    if connection.scalar(text("select to_regclass('alembic_version')")) is not None:
        note_version(connection)
    connection.commit()


main()
