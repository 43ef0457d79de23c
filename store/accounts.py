"""Users and their API keys. A key is `sieve_<prefix>_<secret>`; the prefix finds the row, the secret is kept hashed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from store.errors import Conflict, NotFound
from store.ids import new_id
from store.tables import Account, ApiKey, User

Role = Literal["admin", "member"]
Scope = Literal["read", "submit", "admin"]
"""What a key may be used for. `read`: look and download. `submit`: submit jobs and change what is one's own. `admin`:
keys and webhooks, and, where its user is an admin, the lab."""
SCOPES: tuple[Scope, ...] = ("read", "submit", "admin")


def create_user(session: Session, name: str, role: Role) -> User:
    """A new user.

    Raises:
        Conflict: the name is taken.
    """
    if session.scalar(select(User.id).where(User.name == name)) is not None:
        raise Conflict("name_taken", f"there is a user {name!r} already")
    user = User(id=new_id("usr"), name=name, role=role)
    session.add(user)
    session.flush()
    session.add(Account(user_id=user.id))
    session.flush()
    return user


def find_user(session: Session, name: str) -> User | None:
    """The user called `name`."""
    return session.scalar(_BY_NAME, {"name": name})


_BY_NAME = select(User).where(User.name == bindparam("name"))


def users(session: Session) -> list[User]:
    """Everybody, by name."""
    return list(session.scalars(select(User).order_by(User.name)))


def create_key(
    session: Session,
    user: User,
    name: str = "",
    *,
    scopes: Collection[Scope] = SCOPES,
    expires_at: datetime | None = None,
) -> str:
    """A new key, with 256 random bits. This is the only time it is seen whole."""
    return new_key(session, user, name, scopes=scopes, expires_at=expires_at)[1]


def new_key(
    session: Session, user: User, name: str, *, scopes: Collection[Scope], expires_at: datetime | None
) -> tuple[ApiKey, str]:
    """As `create_key`, with its row."""
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = ApiKey(
        id=new_id("key"),
        user_id=user.id,
        prefix=prefix,
        secret_hash=_hash(secret),
        name=name,
        scopes=[scope for scope in SCOPES if scope in scopes],
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return row, f"sieve_{prefix}_{secret}"


def authenticate(session: Session, key: str) -> User | None:
    """Whose key this is; None where it is nobody's, revoked or expired."""
    found = bearer(session, key)
    return None if found is None else found.user


def bearer(session: Session, key: str) -> ApiKey | None:
    """The key that somebody shows; None where it is none, revoked or expired. Compares in constant time."""
    found = session.scalar(_BEARER, {"prefix": _prefix(key)})
    return found if _is_whole(key, found.secret_hash if found else None) else None


def looker(session: Session, key: str) -> ApiKey | None:
    """As `bearer`, at a third of the cost: key and user are copies that belong to no session. For who only looks."""
    found = session.connection().execute(_LOOKER, {"prefix": _prefix(key)}).one_or_none()
    if not _is_whole(key, found.secret_hash if found else None) or found is None:
        return None
    user = User(id=found.user_id, name=found.name, role=found.role)
    return ApiKey(id=found.id, user_id=found.user_id, scopes=found.scopes, user=user)


def _prefix(key: str) -> str:
    return key.split("_", 2)[1].replace("\0", "") if "_" in key else ""


def _is_whole(key: str, secret_hash: str | None) -> bool:
    """Is this all of the key whose secret has this hash?"""
    scheme, _, rest = key.partition("_")
    same = hmac.compare_digest(secret_hash or _hash(""), _hash(rest.partition("_")[2]))
    return secret_hash is not None and same and scheme == "sieve"


def key(session: Session, key_id: str) -> ApiKey | None:
    """The key with this id, where it is neither revoked nor expired."""
    return session.scalar(select(ApiKey).where(ApiKey.id == key_id, _good()))


def _good() -> ColumnElement[bool]:
    return ApiKey.revoked_at.is_(None) & or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())


_BEARER = select(ApiKey).where(ApiKey.prefix == bindparam("prefix"), _good())
_LOOKER = (
    select(ApiKey.id, ApiKey.user_id, ApiKey.secret_hash, ApiKey.scopes, User.name, User.role)
    .join(User, User.id == ApiKey.user_id)
    .where(ApiKey.prefix == bindparam("prefix"), _good())
)
"""Both are made once: one of them is asked with every request."""


def keys(session: Session, user: User) -> list[ApiKey]:
    """The user's keys, newest first."""
    return list(session.scalars(select(ApiKey).where(ApiKey.user_id == user.id).order_by(ApiKey.id.desc())))


def reset_keys(session: Session, user: User, name: str = "") -> str:
    """Make all of a user's keys worthless and give a new one: the way back after one was lost or seen."""
    mine = update(ApiKey).where(ApiKey.user_id == user.id, ApiKey.revoked_at.is_(None))
    session.execute(mine.values(revoked_at=func.now()))
    return create_key(session, user, name)


def revoke_key(session: Session, user: User, key_id: str) -> None:
    """Make one of the user's keys worthless. Revoking twice is no error.

    Raises:
        NotFound: the user has no such key.
    """
    mine = update(ApiKey).where(ApiKey.id == key_id, ApiKey.user_id == user.id)
    found = session.scalar(mine.values(revoked_at=func.coalesce(ApiKey.revoked_at, func.now())).returning(ApiKey.id))
    if found is None:
        raise NotFound("key", key_id)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
