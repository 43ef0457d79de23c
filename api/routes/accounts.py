"""Users and their keys."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api import schemas
from api.auth import Session, Viewer, admins_only
from api.submission import Text
from store import accounts, tables

router = APIRouter(prefix="/v1", tags=["accounts"])

UserName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]*$")]


class NameOfKey(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Text = ""
    """To tell keys apart, such as `laptop`."""


class Person(BaseModel):
    """A new user."""

    model_config = ConfigDict(extra="forbid")

    name: UserName
    role: Literal["admin", "member"] = "member"


@router.get("/me")
def show_me(viewer: Viewer) -> schemas.User:
    """Whose key this is."""
    return _user(viewer)


@router.get("/keys")
def list_keys(session: Session, viewer: Viewer) -> schemas.Page[schemas.Key]:
    """Your keys, newest first."""
    return schemas.Page(data=[_key(row) for row in accounts.keys(session, viewer)])


@router.post("/keys", status_code=201)
def create_key(body: NameOfKey, session: Session, viewer: Viewer) -> schemas.NewKey:
    """A new key of yours. It is shown this once."""
    return schemas.NewKey(key=accounts.create_key(session, viewer, body.name))


@router.delete("/keys/{key_id}", status_code=204)
def revoke_key(key_id: str, session: Session, viewer: Viewer) -> None:
    """Make one of your keys worthless."""
    accounts.revoke_key(session, viewer, key_id)


@router.get("/users", dependencies=[admins_only])
def list_users(session: Session) -> schemas.Page[schemas.User]:
    """Everybody."""
    return schemas.Page(data=[_user(row) for row in accounts.users(session)])


@router.post("/users", status_code=201, dependencies=[admins_only])
def create_user(body: Person, session: Session) -> schemas.NewUser:
    """A new user, with a first key. It is shown this once."""
    row = accounts.create_user(session, body.name, body.role)
    key = accounts.create_key(session, row, "first")
    session.refresh(row)
    return schemas.NewUser(**_user(row).model_dump(), key=key)


def _user(row: tables.User) -> schemas.User:
    """Somebody who submits jobs."""
    return schemas.User(
        id=row.id, name=row.name, role="admin" if row.role == "admin" else "member", created_at=row.created_at
    )


def _key(row: tables.ApiKey) -> schemas.Key:
    """An API key, without its secret."""
    return schemas.Key(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
