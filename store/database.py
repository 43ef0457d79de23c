"""The one way to the database: an engine, and a transaction scope that commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine
from sqlalchemy.orm import Session


class Database:
    """PostgreSQL, reached through a pool of connections."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """`url` as SQLAlchemy takes it: postgresql+psycopg://user:password@host/name."""
        self.engine = create_engine(url, pool_size=pool_size, max_overflow=10, pool_pre_ping=True)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session whose work is committed at the end of the block, or rolled back if it raises."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()
