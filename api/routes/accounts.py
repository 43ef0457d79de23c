"""Users and their keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api import account_schemas, schemas
from api.auth import Holder, KeyOfViewer, Session, Viewer, admins_only
from api.idempotency import Repeatable
from api.submission import Text
from store import accounts, tables
from store.jobs import surroundings

router = APIRouter(prefix="/v1", tags=["accounts"], route_class=Repeatable)

UserName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]*$")]


class NewKeyRequest(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Text = ""
    """To tell keys apart, such as `laptop`."""
    scopes: Annotated[list[accounts.Scope], Field(min_length=1, max_length=3)] = list(accounts.SCOPES)
    """`read`: look and download. `submit`: submit jobs and change what is yours. `admin`: keys and webhooks, and, where
    you are an admin, the lab."""
    expires_in_days: Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)] | None = None
    """After this it is worthless; null for never."""


class Person(BaseModel):
    """A new user."""

    model_config = ConfigDict(extra="forbid")

    name: UserName
    role: Literal["admin", "member"] = "member"


@router.get("/me")
def show_me(viewer: Viewer, key: KeyOfViewer) -> account_schemas.Me:
    """Whose key this is, and what it may be used for."""
    return account_schemas.Me(**_user(viewer).model_dump(), key=_key(key))


@router.get("/keys")
def list_keys(session: Session, viewer: Viewer) -> schemas.Page[account_schemas.Key]:
    """Your keys, newest first."""
    return schemas.Page(data=[_key(row) for row in accounts.keys(session, viewer)])


@router.post("/keys", status_code=201)
def create_key(body: NewKeyRequest, session: Session, viewer: Holder) -> account_schemas.MadeKey:
    """A new key of yours. It is shown this once."""
    expires_at = None
    if body.expires_in_days is not None:
        expires_at = surroundings.now(session) + timedelta(days=body.expires_in_days)
    row, key = accounts.new_key(session, viewer, body.name, scopes=body.scopes, expires_at=expires_at)
    session.refresh(row)
    return account_schemas.MadeKey(**_key(row).model_dump(), key=key)


@router.delete("/keys/{key_id}", status_code=204)
def revoke_key(key_id: str, session: Session, viewer: Holder) -> None:
    """Make one of your keys worthless."""
    accounts.revoke_key(session, viewer, key_id)


@router.get("/users", dependencies=[admins_only])
def list_users(session: Session) -> schemas.Page[account_schemas.User]:
    """Everybody."""
    return schemas.Page(data=[_user(row) for row in accounts.users(session)])


@router.post("/users", status_code=201, dependencies=[admins_only])
def create_user(body: Person, session: Session) -> account_schemas.NewUser:
    """A new user, with a first key. It is shown this once."""
    row = accounts.create_user(session, body.name, body.role)
    key = accounts.create_key(session, row, "first")
    session.refresh(row)
    return account_schemas.NewUser(**_user(row).model_dump(), key=key)


def _user(row: tables.User) -> account_schemas.User:
    """Somebody who submits jobs."""
    return account_schemas.User(
        id=row.id, name=row.name, role="admin" if row.role == "admin" else "member", created_at=row.created_at
    )


def _key(row: tables.ApiKey) -> account_schemas.Key:
    """An API key, without its secret."""
    return account_schemas.Key(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=row.scopes,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
