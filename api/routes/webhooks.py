"""Webhooks: addresses that are told when your jobs end, or want attention."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from api import account_schemas, outside, paging, schemas
from api.auth import Holder, Session, SettingsOf, Viewer
from api.idempotency import Repeatable
from api.pointers import FieldError
from api.problems import invalid
from api.submission import Text
from store import outbox, tables, webhooks
from store.settings import Settings

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=Repeatable)

Url = Annotated[str, Field(min_length=1, max_length=2000, examples=["https://hooks.example.org/sieve"])]
Events = Annotated[list[webhooks.EventType], Field(min_length=1, max_length=10)]
USUAL: list[webhooks.EventType] = ["job.succeeded", "job.failed", "job.attention"]


class NewWebhookRequest(BaseModel):
    """A new webhook."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    url: Url
    """Begins with https://, and is public; the server's owner may allow others (`SIEVE_WEBHOOK_ALLOW`)."""
    events: Events = USUAL
    """What it is told of. A study is one job: of its parts only `job.attention` is told."""
    description: Text = ""


class WebhookChanges(BaseModel):
    """What changes of a webhook. What is not given stays."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    url: Url | None = None
    events: Events | None = None
    description: Text | None = None
    enabled: bool | None = None
    """False: nothing is sent any more, and what waits is given up. True: what happens from now on is sent."""


@router.get("")
def list_webhooks(session: Session, viewer: Viewer) -> schemas.Page[account_schemas.Webhook]:
    """Your webhooks, newest first."""
    return schemas.Page(data=[_shown(hook) for hook in webhooks.of_owner(session, viewer)])


@router.post("", status_code=201)
def create_webhook(
    body: NewWebhookRequest, session: Session, viewer: Holder, settings: SettingsOf, response: Response
) -> account_schemas.NewWebhook:
    """A new webhook. Its secret is shown this once. `ping` it to see whether deliveries arrive."""
    _check(settings, body.url)
    hook = webhooks.create(session, viewer, url=body.url, events=body.events, description=body.description)
    session.refresh(hook)
    response.headers["Location"] = f"/v1/webhooks/{hook.id}"
    return account_schemas.NewWebhook(**_shown(hook).model_dump(), secret=webhooks.secret(settings, hook))


@router.get("/{webhook_id}")
def show_webhook(webhook_id: str, session: Session, viewer: Viewer) -> account_schemas.Webhook:
    """One of your webhooks."""
    return _shown(webhooks.get(session, viewer, webhook_id))


@router.patch("/{webhook_id}")
def change_webhook(
    webhook_id: str, body: WebhookChanges, session: Session, viewer: Holder, settings: SettingsOf
) -> account_schemas.Webhook:
    """Change where it is, what it is told of, or whether anything is sent to it."""
    hook = webhooks.get(session, viewer, webhook_id)
    if body.url is not None:
        _check(settings, body.url)
        hook.url = body.url
    if body.events is not None:
        hook.events = sorted(set(body.events))
    if body.description is not None:
        hook.description = body.description
    if body.enabled:
        webhooks.enable(session, hook)
    elif body.enabled is False and hook.disabled_at is None:
        outbox.disable(session, hook, "switched off by its owner")
    session.flush()
    session.refresh(hook)
    return _shown(hook)


@router.delete("/{webhook_id}", status_code=204)
def remove_webhook(webhook_id: str, session: Session, viewer: Holder) -> None:
    """Forget a webhook, and what waits for it."""
    session.delete(webhooks.get(session, viewer, webhook_id))


@router.post("/{webhook_id}/ping", status_code=202)
def ping_webhook(webhook_id: str, session: Session, viewer: Viewer) -> account_schemas.Delivery:
    """Send it an event of type `ping`; its deliveries say whether that has arrived."""
    return _delivery(webhooks.ping(session, webhooks.get(session, viewer, webhook_id)))


@router.get("/{webhook_id}/deliveries")
def list_deliveries(
    webhook_id: str, session: Session, viewer: Viewer, *, limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> schemas.Page[account_schemas.Delivery]:
    """What it was told, and is to be told, newest first. Kept for 30 days."""
    hook = webhooks.get(session, viewer, webhook_id)
    rows = outbox.deliveries(session, hook, before=paging.decode(cursor), limit=limit + 1)
    return paging.page(rows, limit, lambda row: row.id, _delivery)


def _check(settings: Settings, url: str) -> None:
    try:
        outside.read(url, outside.Allowed.parse(settings.webhook_allow))
    except outside.Refused as refused:
        raise invalid([FieldError(pointer="/url", message=str(refused))]) from None


def _shown(row: tables.Webhook) -> account_schemas.Webhook:
    return account_schemas.Webhook(**{name: getattr(row, name) for name in account_schemas.Webhook.model_fields})


def _delivery(row: tables.Delivery) -> account_schemas.Delivery:
    return account_schemas.Delivery(**{name: getattr(row, name) for name in account_schemas.Delivery.model_fields})
