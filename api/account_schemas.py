"""What the API answers about people: users, their keys, the webhooks that are told of their jobs. See `api.schemas`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from api.idempotency import ShownOnce
from api.schemas import Schema


class User(Schema):
    """Somebody who submits jobs."""

    id: str
    name: str
    role: Literal["admin", "member"]
    created_at: datetime


class NewUser(User):
    """A user, with a first key."""

    key: ShownOnce
    """Shown this once."""


class Key(Schema):
    """An API key, without its secret."""

    id: str
    name: str
    prefix: str
    """What it begins with, after `sieve_`."""
    scopes: list[Literal["read", "submit", "admin"]]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKey(Schema):
    """A key that was just made."""

    key: ShownOnce
    """Shown this once."""


class MadeKey(Key):
    """A key that was just made, with its secret."""

    key: ShownOnce
    """Shown this once."""


class Me(User):
    """Who asks, and with which key."""

    key: Key


class Webhook(Schema):
    """An address that is told of your jobs."""

    id: str
    url: str
    events: list[str]
    description: str
    created_at: datetime
    failing_since: datetime | None
    """When the first of an unbroken row of failures was; null where the last delivery arrived."""
    disabled_at: datetime | None
    """Nothing is sent since then."""
    disabled_why: str | None


class NewWebhook(Webhook):
    """A webhook that was just made, with its secret."""

    secret: ShownOnce
    """What deliveries are signed with (https://www.standardwebhooks.com). Shown this once."""


class Delivery(Schema):
    """Something that a webhook is told, or was."""

    id: str
    """Also the header `webhook-id`: the same however often it is sent."""
    type: str
    created_at: datetime
    attempts: int
    next_at: datetime | None
    """When it is tried next; null once it has arrived or was given up."""
    delivered_at: datetime | None
    status: int | None
    """Of the last answer."""
    error: str | None
    """Why the last attempt failed."""
