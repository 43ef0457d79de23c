"""Who is signed in to the web page. A session is made from a key and ends with it; its token is kept hashed."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from store import accounts
from store.tables import ApiKey, PageSession

LONGEST = timedelta(days=7)
"""After this, one signs in again."""


def sign_in(session: Session, key: str) -> str | None:
    """A new session's token, with 256 random bits; None where the key is nobody's, or may not be used to look.
    Also forgets what has expired."""
    session.execute(delete(PageSession).where(PageSession.expires_at < func.now()))
    shown = accounts.bearer(session, key)
    if shown is None or "read" not in shown.scopes:
        return None
    token = secrets.token_urlsafe(32)
    session.add(PageSession(token_hash=_hash(token), key_id=shown.id, expires_at=func.now() + LONGEST))
    session.flush()
    return token


def signed_in(session: Session, token: str) -> ApiKey | None:
    """The key that a session was made with, its user and its scopes; None where it is over, or the key revoked or
    expired."""
    query = (
        select(ApiKey)
        .join(PageSession, PageSession.key_id == ApiKey.id)
        .where(
            PageSession.token_hash == _hash(token),
            PageSession.expires_at > func.now(),
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
        )
    )
    return session.scalar(query)


def sign_out(session: Session, token: str) -> None:
    """End a session. Ending it twice is no error."""
    session.execute(delete(PageSession).where(PageSession.token_hash == _hash(token)))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
