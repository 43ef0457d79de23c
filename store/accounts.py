"""Users and their API keys. A key is `sieve_<prefix>_<secret>`; the prefix finds the row, the secret is kept hashed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Literal

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from store.errors import Conflict, NotFound
from store.ids import new_id
from store.tables import Account, ApiKey, User

Role = Literal["admin", "member"]


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
    return session.scalar(select(User).where(User.name == name))


def users(session: Session) -> list[User]:
    """Everybody, by name."""
    return list(session.scalars(select(User).order_by(User.name)))


def create_key(session: Session, user: User, name: str = "") -> str:
    """A new key, with 256 random bits. This is the only time it is seen whole."""
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    session.add(ApiKey(id=new_id("key"), user_id=user.id, prefix=prefix, secret_hash=_hash(secret), name=name))
    session.flush()
    return f"sieve_{prefix}_{secret}"


def authenticate(session: Session, key: str) -> User | None:
    """Whose key this is; None where it is nobody's, revoked or expired. Compares in constant time."""
    scheme, _, rest = key.partition("_")
    prefix, _, secret = rest.partition("_")
    found = session.execute(
        select(ApiKey.secret_hash, User)
        .join(User, User.id == ApiKey.user_id)
        .where(
            ApiKey.prefix == prefix.replace("\0", ""),
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
        )
    ).one_or_none()
    expected = found.secret_hash if found else _hash("")
    same = hmac.compare_digest(expected, _hash(secret))
    return found.User if found and same and scheme == "sieve" else None


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
