"""For what is looked at often: who asks is found out where the answer is, on the event loop and on one connection.

A session and a viewer that are dependencies, as for everything else, each cost a turn in a thread of their own: more
than their statements do.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials
from sqlalchemy.orm import Session

from api.auth import Credentials, DatabaseOf, looker_of
from store.database import Database, Seen
from store.tables import User


class Looker:
    """Somebody who asks to look at something. The routes that they ask are `Looked`."""

    def __init__(self, request: Request, database: Database, credentials: HTTPAuthorizationCredentials | None) -> None:
        self._request = request
        self._database = database
        self._credentials = credentials
        self._viewer: User | None = None

    async def look(self, see: Callable[[Session, User], Seen]) -> Seen:
        """What `see` makes of a session to look with and of the user who asks, who is found out the first time.

        Raises:
            Problem: they may not look.
        """
        return await self._database.look(partial(self._look, see))

    def _look(self, see: Callable[[Session, User], Seen], session: Session) -> Seen:
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
