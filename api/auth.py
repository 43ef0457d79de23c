"""Who asks: a bearer key makes a user, and every request has one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session as OrmSession

from api.limits import Rates
from api.problems import Problem, unauthenticated
from store import accounts
from store.blobs import BlobStore
from store.database import Database
from store.settings import Settings
from store.tables import ApiKey, User
from store.wakeups import Bell

_bearer = HTTPBearer(auto_error=False, description="A key, as `Authorization: Bearer sieve_…`")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


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


def _authenticated(
    request: Request,
    session: OrmSession,
    credentials: HTTPAuthorizationCredentials | None,
    find: Callable[[OrmSession, str], ApiKey | None] = accounts.bearer,
) -> User:
    """Who asks. Their key must be good for what the method does, and they must not ask too often."""
    rates: Rates = request.app.state.rates
    if credentials is None:
        raise unauthenticated("this needs a key: Authorization: Bearer sieve_…")
    key = find(session, credentials.credentials)
    if key is None:
        rates.take(f"address {request.client.host if request.client else ''}")
        raise unauthenticated("the key is unknown, expired or revoked")
    rates.take(key.user_id)
    need(key, "read" if request.method in _SAFE else "submit")
    request.state.key = key
    return key.user


def viewer_of(request: Request, session: OrmSession, credentials: HTTPAuthorizationCredentials | None) -> User:
    """The user who asks, for dependencies that know another way in as well. Raises `Problem`."""
    return _authenticated(request, session, credentials)


def looker_of(request: Request, session: OrmSession, credentials: HTTPAuthorizationCredentials | None) -> User:
    """The user who asks, of no session: cheap, for who only looks. Raises `Problem`."""
    return _authenticated(request, session, credentials, accounts.looker)


def credentials_of(request: Request) -> HTTPAuthorizationCredentials | None:
    """What the header `Authorization` holds, where that is a bearer key."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not value:
        return None
    return HTTPAuthorizationCredentials(scheme=scheme, credentials=value.strip())


def need(key: ApiKey, scope: accounts.Scope) -> None:
    """See that a key may be used for something. An `admin` key may be used for what a `submit` key may.

    Raises:
        Problem: 403.
    """
    if scope in key.scopes or (scope == "submit" and "admin" in key.scopes):
        return
    told = {"WWW-Authenticate": f'Bearer realm="sieve", error="insufficient_scope", scope="{scope}"'}
    raise Problem(403, "insufficient_scope", f"this needs a key with the scope {scope!r}", headers=told)


def _viewer(request: Request, session: Session, credentials: Credentials) -> User:
    return _authenticated(request, session, credentials)


async def _waiting_viewer(request: Request, database: DatabaseOf, credentials: Credentials) -> User:
    return await database.look(lambda session: looker_of(request, session, credentials))


Viewer = Annotated[User, Depends(_viewer)]
"""The user who asks."""
WaitingViewer = Annotated[User, Depends(_waiting_viewer)]
"""The user who asks, in a session that is over: for handlers that wait or stream and hold no connection."""


def _key(request: Request, viewer: Viewer) -> ApiKey:
    del viewer
    key: ApiKey = request.state.key
    return key


def _holder(request: Request, viewer: Viewer) -> User:
    """Somebody whose key may be used for keys and webhooks."""
    need(_key(request, viewer), "admin")
    return viewer


def _admin(request: Request, viewer: Viewer) -> User:
    if viewer.role != "admin":
        raise Problem(403, "admins_only", "only an admin may do this")
    need(_key(request, viewer), "read" if request.method in _SAFE else "admin")
    return viewer


KeyOfViewer = Annotated[ApiKey, Depends(_key)]
"""The key that the request came with."""
Holder = Annotated[User, Depends(_holder)]
"""The user who asks, with a key of the scope `admin`: for what outlives the key, such as another key."""
Admin = Annotated[User, Depends(_admin)]
signed_in = Depends(_viewer)
"""For routes that only want to know that somebody asks."""
admins_only = Depends(_admin)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
