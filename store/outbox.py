"""The outbox of webhooks: what happened to jobs, written in the transaction in which it happened.

Nothing is lost when a process dies: what was not sent is still there, and what was sent but not ticked off is sent
again under the same id, by which its receiver knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from store.ids import new_id
from store.tables import Delivery, Job, Webhook

PAUSES = (5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
"""Seconds between attempts. After the last of these the delivery is given up."""
PATIENCE = timedelta(days=3)
"""A webhook none of whose deliveries has arrived for so long is disabled."""
KEPT = timedelta(days=30)
"""How long deliveries are remembered after their end."""


def tell(session: Session, job: Job, type: str, **more: Any) -> None:
    """Write down for every webhook of a job's owner that wants such events what happened. The job is locked."""
    wanted = Webhook.events.contains([type])
    hooks = session.scalars(
        select(Webhook.id).where(Webhook.owner_id == job.owner_id, Webhook.disabled_at.is_(None), wanted)
    ).all()
    if not hooks:
        return
    data: dict[str, Any] = {"id": job.id, "kind": job.kind, "name": job.name, "state": job.state, "labels": job.labels}
    data |= {"study": job.study_id, "url": f"/v1/jobs/{job.id}", **more}
    payload = {"type": type, "data": data}
    session.add_all(Delivery(id=new_id("msg"), webhook_id=hook, type=type, payload=payload) for hook in hooks)


def due(session: Session, *, limit: int, lease_seconds: float) -> list[tuple[Delivery, Webhook]]:
    """Deliveries whose time has come, with their webhooks. They are put off by `lease_seconds`, so that whoever dies
    with them in hand holds them up no longer than that."""
    ripe = Delivery.next_at <= func.now(), Webhook.disabled_at.is_(None)
    query = select(Delivery, Webhook).join(Webhook, Webhook.id == Delivery.webhook_id).where(*ripe)
    query = query.order_by(Delivery.next_at).limit(limit).with_for_update(of=Delivery, skip_locked=True)
    rows = [(delivery, webhook) for delivery, webhook in session.execute(query)]
    ids = [delivery.id for delivery, _ in rows]
    put_off = {"next_at": func.now() + timedelta(seconds=lease_seconds), "attempts": Delivery.attempts + 1}
    session.execute(update(Delivery).where(Delivery.id.in_(ids)).values(**put_off))
    for delivery, _ in rows:
        session.refresh(delivery)
    return rows


def arrived(session: Session, delivery: Delivery, status: int) -> None:
    """Tick a delivery off."""
    ticked = {"delivered_at": func.now(), "next_at": None, "status": status, "error": None}
    session.execute(update(Delivery).where(Delivery.id == delivery.id).values(**ticked))
    session.execute(update(Webhook).where(Webhook.id == delivery.webhook_id).values(failing_since=None))


def failed(session: Session, delivery: Delivery, *, error: str, status: int | None, gone: bool = False) -> None:
    """Note why an attempt failed, and when the next is due. `gone`: the receiver wants nothing any more."""
    pause = PAUSES[delivery.attempts - 1] if delivery.attempts <= len(PAUSES) else None
    later = None if pause is None else func.now() + timedelta(seconds=pause)
    said = {"error": error[:500], "status": status, "next_at": later}
    session.execute(update(Delivery).where(Delivery.id == delivery.id).values(**said))
    hook = session.get_one(Webhook, delivery.webhook_id, with_for_update=True, populate_existing=True)
    now = session.scalars(select(func.now())).one()
    hook.failing_since = hook.failing_since or now
    if gone:
        disable(session, hook, "its receiver answered 410: it wants nothing any more")
    elif now - hook.failing_since > PATIENCE:
        since = f"{hook.failing_since:%Y-%m-%d %H:%M} UTC"
        disable(session, hook, f"nothing has arrived since {since}; last: {error[:300]}")


def disable(session: Session, hook: Webhook, why: str) -> None:
    """Send a webhook nothing any more until it is enabled again. What waits for it is given up."""
    hook.disabled_at, hook.disabled_why = func.now(), why
    waiting = Delivery.webhook_id == hook.id, Delivery.next_at.is_not(None)
    session.execute(update(Delivery).where(*waiting).values(next_at=None))


def forget_old(session: Session) -> None:
    """Forget deliveries that ended long ago."""
    old = Delivery.next_at.is_(None), Delivery.created_at < func.now() - KEPT
    session.execute(delete(Delivery).where(*old))


def deliveries(session: Session, hook: Webhook, *, before: str | None, limit: int) -> Sequence[Delivery]:
    """A webhook's deliveries, newest first."""
    query = select(Delivery).where(Delivery.webhook_id == hook.id).order_by(Delivery.id.desc()).limit(limit)
    return session.scalars(query.where(Delivery.id < before) if before else query).all()
