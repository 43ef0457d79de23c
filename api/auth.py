"""Who asks: a bearer key makes a user, and every request has one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session as OrmSession

from api.problems import Problem, unauthenticated
from store import accounts
from store.blobs import BlobStore
from store.database import Database
from store.settings import Settings
from store.tables import User
from store.wakeups import Bell

_bearer = HTTPBearer(auto_error=False, description="A key, as `Authorization: Bearer sieve_…`")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def _database(request: Request) -> Database:
    database = request.app.state.database
    assert isinstance(database, Database)
    return database


async def _settings(request: Request) -> Settings:
    settings = request.app.state.settings
    assert isinstance(settings, Settings)
    return settings


async def _bell(request: Request) -> Bell:
    bell = request.app.state.bell
    assert isinstance(bell, Bell)
    return bell


async def _blobs(request: Request) -> BlobStore:
    blobs: BlobStore = request.app.state.blobs
    return blobs


async def _turn(request: Request) -> AsyncIterator[None]:
    """As many requests at once as there are connections. Waiting for a connection would take up the thread that
    somebody who has one needs to give it back."""
    async with request.app.state.turns:
        yield


_InTurn = Annotated[None, Depends(_turn, scope="function")]


def _session(database: DatabaseOf, _: _InTurn) -> Iterator[OrmSession]:
    """Committed when the handler returns, before the answer leaves."""
    with database.transaction() as session:
        yield session


DatabaseOf = Annotated[Database, Depends(_database)]
SettingsOf = Annotated[Settings, Depends(_settings)]
BellOf = Annotated[Bell, Depends(_bell)]
BlobsOf = Annotated[BlobStore, Depends(_blobs)]
Session = Annotated[OrmSession, Depends(_session, scope="function")]
"""The request's transaction."""


def _authenticated(session: OrmSession, credentials: HTTPAuthorizationCredentials | None) -> User:
    if credentials is None:
        raise unauthenticated("this needs a key: Authorization: Bearer sieve_…")
    user = accounts.authenticate(session, credentials.credentials)
    if user is None:
        raise unauthenticated("the key is unknown, expired or revoked")
    return user


def _viewer(session: Session, credentials: _Credentials) -> User:
    return _authenticated(session, credentials)


def _waiting_viewer(database: DatabaseOf, credentials: _Credentials) -> User:
    with database.transaction() as session:
        return _authenticated(session, credentials)


Viewer = Annotated[User, Depends(_viewer)]
"""The user who asks."""
WaitingViewer = Annotated[User, Depends(_waiting_viewer)]
"""The user who asks, in a transaction that is over: for handlers that wait or stream and hold no connection."""


def _admin(viewer: Viewer) -> User:
    if viewer.role != "admin":
        raise Problem(403, "admins_only", "only an admin may do this")
    return viewer


Admin = Annotated[User, Depends(_admin)]
signed_in = Depends(_viewer)
"""For routes that only want to know that somebody asks."""
admins_only = Depends(_admin)
