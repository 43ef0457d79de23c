"""How Alembic reaches the database. The url is DATABASE_URL's, or the one that the caller put in `sqlalchemy.url`.

Two that upgrade at once wait for each other at an advisory lock; a change that cannot get a table's lock within
seconds gives up rather than make everyone else wait behind it.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from store.settings import settings
from store.tables import Table

_UPGRADES = 0x51E5E002
"""Key of the advisory lock."""


def main() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or settings().database_url
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": _UPGRADES})
        connection.execute(text("set lock_timeout = '5s'"))
        connection.commit()
        context.configure(connection=connection, target_metadata=Table.metadata, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


main()
