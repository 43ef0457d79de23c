"""Who looks at a page: a session cookie instead of a key, and a token in every form that no other site can know.

Only pages take the cookie. The API under `/v1` wants a key, so nothing there can be done by a forged form.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Form, Request, Response

from api.auth import DatabaseOf, Session, need
from api.limits import Rates
from api.problems import Problem
from store import sessions
from store.tables import ApiKey, User

COOKIE = "sieve_session"
VISIT = "sieve_visit"
"""Before signing in: only so that the form of signing in has a token as well."""
MONTH = 30 * 86400


class SignedOut(Exception):
    """Nobody is signed in."""


@dataclass(frozen=True)
class Visitor:
    """Somebody who is signed in."""

    key: ApiKey
    """What the session was made with: it may do as much as its key."""
    token: str

    @property
    def user(self) -> User:
        """Whose it is."""
        return self.key.user

    @property
    def admin(self) -> bool:
        """May they see and change what is everybody's?"""
        return self.user.role == "admin"

    def owns(self, owner: str) -> bool:
        """May they change what is somebody's?"""
        return self.admin or self.user.name == owner

    @property
    def form_token(self) -> str:
        """What their forms carry."""
        return form_token(self.token)


def form_token(cookie: str) -> str:
    """What forms carry beside a cookie: it follows from it, and the cookie cannot be had from it."""
    return hmac.new(cookie.encode(), b"form", hashlib.sha256).hexdigest()


def _visitor(request: Request, session: Session) -> Visitor:
    token = request.cookies.get(COOKIE, "")
    key = sessions.signed_in(session, token) if token else None
    if key is None:
        raise SignedOut
    rates: Rates = request.app.state.rates
    rates.take(f"page {key.user_id}")
    need(key, "read" if request.method == "GET" else "submit")
    return Visitor(key, token)


def _watching(request: Request, database: DatabaseOf) -> Visitor:
    with database.transaction() as session:
        return _visitor(request, session)


VisitorOf = Annotated[Visitor, Depends(_visitor, scope="function")]
"""Who is signed in; else they are sent to sign in."""
WatcherOf = Annotated[Visitor, Depends(_watching)]
"""The same in a transaction that is over: for streams, which hold no connection."""


def _holder(visitor: VisitorOf) -> Visitor:
    need(visitor.key, "admin")
    return visitor


HolderOf = Annotated[Visitor, Depends(_holder)]
"""Somebody whose key may be used for keys."""


def _admin(request: Request, visitor: VisitorOf) -> Visitor:
    if not visitor.admin:
        raise Problem(403, "admins_only", "only an admin may see this")
    need(visitor.key, "read" if request.method == "GET" else "admin")
    return visitor


AdminOf = Annotated[Visitor, Depends(_admin)]


def _genuine(request: Request, token: Annotated[str, Form(max_length=100)] = "") -> None:
    """Does this form come from a page of ours?"""
    cookie = request.cookies.get(COOKIE) or request.cookies.get(VISIT) or ""
    same = hmac.compare_digest(token.encode(), form_token(cookie).encode())
    if not cookie or not same or _elsewhere(request):
        raise Problem(403, "not_our_form", "the form is too old, or not from this page: load the page again")


def _elsewhere(request: Request) -> bool:
    """Does the browser say that another site sent this?"""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


async def _sent(request: Request) -> dict[str, str]:
    form = await request.form()
    return {name: value for name, value in form.items() if isinstance(value, str)}


SentOf = Annotated[dict[str, str], Depends(_sent)]
"""The texts of a form."""
genuine = Depends(_genuine)
"""Of every route that a form is sent to."""


def remember(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    """Set a cookie that scripts cannot read and that no other site's request carries."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=request.scope.get("root_path") or "/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def visit(request: Request) -> str:
    """The cookie of somebody who is not signed in, new where there is none."""
    return request.cookies.get(VISIT) or secrets.token_urlsafe(32)


def inside(path: str) -> str:
    """A path to go to after signing in, if it is one of ours; else the first page."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
