"""Addresses that are told of a user's jobs."""

from __future__ import annotations

import base64
from collections.abc import Collection
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import signing
from store.errors import Conflict, NotFound
from store.ids import new_id
from store.settings import Settings
from store.tables import Delivery, User, Webhook

EventType = Literal["job.succeeded", "job.failed", "job.cancelled", "job.skipped", "job.attention", "ping"]
MOST = 20
"""Webhooks of a user."""


def create(session: Session, owner: User, *, url: str, events: Collection[str], description: str) -> Webhook:
    """A new webhook.

    Raises:
        Conflict: the owner has too many.
    """
    if len(of_owner(session, owner)) >= MOST:
        raise Conflict("too_many_webhooks", f"you have {MOST} webhooks: remove one first")
    hook = Webhook(id=new_id("whk"), owner_id=owner.id, url=url, events=sorted(set(events)), description=description)
    session.add(hook)
    session.flush()
    return hook


def of_owner(session: Session, owner: User) -> list[Webhook]:
    """A user's webhooks, newest first."""
    return list(session.scalars(select(Webhook).where(Webhook.owner_id == owner.id).order_by(Webhook.id.desc())))


def get(session: Session, owner: User, webhook_id: str) -> Webhook:
    """One of a user's webhooks: nobody else's, whoever asks. Raises `NotFound`."""
    found = session.scalar(select(Webhook).where(Webhook.id == webhook_id, Webhook.owner_id == owner.id))
    if found is None:
        raise NotFound("webhook", webhook_id)
    return found


def enable(session: Session, hook: Webhook) -> None:
    """Send to it again what happens from now on."""
    hook.disabled_at = hook.disabled_why = hook.failing_since = None
    session.flush()


def ping(session: Session, hook: Webhook) -> Delivery:
    """Send it an event of type `ping`, to see whether it arrives.

    Raises:
        Conflict: it is disabled.
    """
    if hook.disabled_at is not None:
        raise Conflict("webhook_disabled", f"{hook.id} is disabled: enable it first")
    delivery = Delivery(id=new_id("msg"), webhook_id=hook.id, type="ping", payload={"type": "ping", "data": {}})
    session.add(delivery)
    session.flush()
    session.refresh(delivery)
    return delivery


def secret(settings: Settings, hook: Webhook) -> str:
    """What its deliveries are signed with, as `whsec_` and base64: 256 bits that follow from the server's secret."""
    return "whsec_" + base64.b64encode(signing.derived(settings, "webhook", hook.id)).decode()
