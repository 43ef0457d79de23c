"""For what is looked at often: who asks is found out where the answer is, in one thread and on one connection.

A session and a viewer that are dependencies, as for everything else, each cost a turn in a thread of their own: more
than their statements do.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials
from sqlalchemy.orm import Session

from api.auth import Credentials, DatabaseOf, looker_of
from store.database import Database
from store.tables import User

AT_ONCE = 2
"""Looks that are computed at a time: Python computes one of them anyhow, while the other's database does. Where many
share it, all are late."""
Seen = TypeVar("Seen")


class Looker:
    """Somebody who asks to look at something. The routes that they ask are `Looked`."""

    def __init__(self, request: Request, database: Database, credentials: HTTPAuthorizationCredentials | None) -> None:
        self._request = request
        self._database = database
        self._credentials = credentials
        self._viewer: User | None = None

    async def look(self, see: Callable[[Session, User], Seen]) -> Seen:
        """What `see` makes of a session to look with and of the user who asks, who is found out the first time.

        In a thread, `AT_ONCE` of them, in the order in which they came.

        Raises:
            Problem: they may not look.
        """
        async with self._request.app.state.looks:
            return await run_in_threadpool(self._look, see)

    def _look(self, see: Callable[[Session, User], Seen]) -> Seen:
        with self._database.looking() as session:
            if self._viewer is None:
                self._viewer = looker_of(self._request, session, self._credentials)
            return see(session, self._viewer)


async def _looker(request: Request, database: DatabaseOf, credentials: Credentials) -> Looker:
    looker = request.state.looker = Looker(request, database, credentials)
    return looker


LookerOf = Annotated[Looker, Depends(_looker)]
"""Whoever asks: nothing is known of them before they look."""


class Looked(APIRoute):
    """A route whose handler may take a `LookerOf`. Who may not look is told that before what else is wrong."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI asks for it."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError:
                looker = getattr(request.state, "looker", None)
                if looker is not None:
                    await looker.look(lambda *_: None)
                raise

        return handled
