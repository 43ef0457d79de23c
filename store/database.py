"""The way to the database: a transaction scope that commits, and a look that begins none."""

from __future__ import annotations

import asyncio
import select as polling
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, TypeVar

import psycopg
from pydantic_core import from_json
from sqlalchemy import Engine, create_engine, event, func, select
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, configure_mappers

UNUSED_SECONDS = 1.0
"""A connection that was not asked for so long is asked first whether it is still there."""
LOOKS = 4
"""Connections to look with: who comes when all are used waits, in the order in which they came."""
Seen = TypeVar("Seen")


class Database:
    """PostgreSQL, reached through pools of connections."""

    def __init__(self, url: str, *, pool_size: int = 10, statement_seconds: float | None = None) -> None:
        """`url` as SQLAlchemy takes it: postgresql+psycopg://user:password@host/name. With `statement_seconds`, a
        statement that takes longer is given up."""
        self.url = url
        self._statement_seconds = statement_seconds
        # A server that cannot be reached is noticed within a lease, and so is one that went away without a word.
        patience = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "keepalives_idle": 10, "keepalives_interval": 5}
        self._how: dict[str, Any] = {"connect_args": patience, "json_deserializer": from_json}  # a third of json's time
        self.engine = create_engine(url, pool_size=pool_size, max_overflow=10, **self._how)
        self._watch(self.engine)
        self._turns = asyncio.Semaphore(LOOKS)
        """To wait for a connection in the pool would be to wait for those that could not be made."""
        configure_mappers()  # else the first statement would

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session whose work is committed at the end of the block, or rolled back if it raises."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    async def look(self, see: Callable[[Session], Seen]) -> Seen:
        """What `see` makes of a session that only looks: its statements begin nothing, so nothing is sent when it ends.

        It is computed on the event loop, which goes on with other work while PostgreSQL has a statement, and not while
        Python computes: for what takes milliseconds.
        """
        async with self._turns, AsyncSession(self._looks) as session:
            return await session.run_sync(see)

    async def end_looks(self) -> None:
        """Close the connections that were looked with, on the event loop that they belong to."""
        await self._looks.dispose()

    @contextmanager
    def alone(self, key: int) -> Iterator[bool]:
        """Hold an advisory lock during the block; gives False, at once, where somebody else holds it."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            mine = bool(connection.scalar(select(func.pg_try_advisory_lock(key))))
            try:
                yield mine
            finally:
                if mine:
                    connection.execute(select(func.pg_advisory_unlock(key)))

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @cached_property
    def _looks(self) -> AsyncEngine:
        how = {"pool_size": LOOKS, "max_overflow": 0, "isolation_level": "AUTOCOMMIT"}
        looks = create_async_engine(self.url, **how, **self._how)
        self._watch(looks.sync_engine)
        return looks

    def _watch(self, engine: Engine) -> None:
        event.listen(engine, "connect", self._bound)
        event.listen(engine, "checkout", partial(_still_there, engine))

    def _bound(self, connection: Any, _record: object) -> None:
        """Nobody who stops in the middle of a transaction, or waits for a lock, holds up the others for long."""
        longest = f"; set statement_timeout = '{self._statement_seconds:g}s'" if self._statement_seconds else ""
        with connection.cursor() as cursor:
            cursor.execute("set idle_in_transaction_session_timeout = '15s'; set lock_timeout = '15s'" + longest)
        connection.commit()


def _still_there(engine: Engine, connection: Any, record: Any, _lent: object) -> None:
    """See that a connection from the pool can be used; else all are made anew, as the database was restarted.

    Of one that was in use just now it is enough that nothing has arrived: a server that ends says so.
    """
    before, now = record.info.get("lent_at"), time.monotonic()
    record.info["lent_at"] = now
    if before is None or (now - before < UNUSED_SECONDS and not _heard(record.driver_connection)):
        return
    try:
        engine.dialect.do_ping(connection)
    except psycopg.Error:
        raise InvalidatePoolError from None


def _heard(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Has a connection of which nothing is asked received something, such as its end?"""
    if connection.closed:
        return True
    arrived = polling.poll()
    arrived.register(connection.fileno(), polling.POLLIN)
    return bool(arrived.poll(0))
