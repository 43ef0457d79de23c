"""What a client gives of its own user: keys, webhooks, use and limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote

from sieve.objects import Record

if TYPE_CHECKING:
    from sieve.transport import Transport

Scope = Literal["read", "submit", "admin"]
EventType = Literal["job.succeeded", "job.failed", "job.cancelled", "job.skipped", "job.attention"]


class Key(Record):
    """An API key, without its secret."""

    id: str
    name: str = ""
    prefix: str = ""
    """What it begins with, after `sieve_`."""
    scopes: list[str]
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def __repr__(self) -> str:
        ended = " revoked" if self.revoked_at else ""
        return f"<Key {self.id} {self.name!r} {','.join(self.scopes)}{ended}>"


class NewKey(Key):
    """A key that was just made, with its secret."""

    key: str
    """The whole key. The server cannot show it again."""


class Delivery(Record):
    """Something that a webhook is told, or was."""

    id: str
    """Also the header `webhook-id`: the same however often it is sent."""
    type: str
    created_at: datetime | None = None
    attempts: int = 0
    next_at: datetime | None = None
    """When it is tried next; None once it has arrived or was given up."""
    delivered_at: datetime | None = None
    status: int | None = None
    """Of the last answer."""
    error: str | None = None
    """Why the last attempt failed."""

    def __repr__(self) -> str:
        state = "arrived" if self.delivered_at else "waits" if self.next_at else "given up"
        return f"<Delivery {self.id} {self.type} {state}>"


class Webhook(Record):
    """An address that is told of your jobs."""

    id: str
    url: str
    events: list[str]
    description: str = ""
    created_at: datetime | None = None
    failing_since: datetime | None = None
    disabled_at: datetime | None = None
    """Nothing is sent since then."""
    disabled_why: str | None = None

    def __repr__(self) -> str:
        disabled = " disabled" if self.disabled_at else ""
        return f"<Webhook {self.id} {self.url} {','.join(self.events)}{disabled}>"

    def change(
        self,
        *,
        url: str | None = None,
        events: Sequence[EventType] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Self:
        """Change what is given. `enabled=False`: nothing is sent any more, and what waits is given up."""
        asked: dict[str, Any] = {"url": url, "events": None if events is None else list(events)}
        asked |= {"description": description, "enabled": enabled}
        body = {name: value for name, value in asked.items() if value is not None}
        return self._updated(self._client.transport.json("PATCH", f"/v1/webhooks/{self.id}", body=body))

    def ping(self) -> Delivery:
        """Send it an event of type `ping`; its deliveries say whether that has arrived."""
        return Delivery._of(self._client, self._client.transport.json("POST", f"/v1/webhooks/{self.id}/ping"))

    def deliveries(self, *, limit: int | None = None) -> Iterator[Delivery]:
        """What it was told, and is to be told, newest first."""
        found: Iterator[Delivery] = self._client._pages(Delivery, f"/v1/webhooks/{self.id}/deliveries", {}, limit)
        return found

    def delete(self) -> None:
        """Forget it, and what waits for it."""
        self._client.transport.ask("DELETE", f"/v1/webhooks/{self.id}")


class NewWebhook(Webhook):
    """A webhook that was just made, with its secret."""

    secret: str
    """What deliveries are signed with (https://www.standardwebhooks.com). The server does not show it again."""


class Account:
    """The part of a client that asks about its own user."""

    transport: Transport

    def me(self) -> dict[str, Any]:
        """Whose key this is."""
        me: dict[str, Any] = self.transport.json("GET", "/v1/me")
        return me

    def usage(self, user: str | None = None) -> dict[str, Any]:
        """What you (or, for admins, somebody else) used and may use, and when."""
        usage: dict[str, Any] = self.transport.json("GET", "/v1/usage", params={"user": user})
        return usage

    def policy(self) -> dict[str, Any]:
        """How the lab shares its server: limits of who has none of their own, maintenance, preemption."""
        policy: dict[str, Any] = self.transport.json("GET", "/v1/policy")
        return policy

    def keys(self) -> list[Key]:
        """Your keys, newest first, without their secrets."""
        return [Key._of(self, values) for values in self.transport.json("GET", "/v1/keys")["data"]]

    def create_key(
        self,
        name: str = "",
        *,
        scopes: Sequence[Scope] = ("read", "submit", "admin"),
        expires_in_days: float | None = None,
    ) -> NewKey:
        """A new key of yours. Its `key` is the only copy of the secret.

        Args:
            name: to tell keys apart, such as `laptop`.
            scopes: `read`: look and download. `submit`: submit jobs and change what is yours. `admin`: keys and
                webhooks, and, where you are an admin, the lab.
            expires_in_days: after this it is worthless; None for never.

        Raises:
            NotAllowed: your own key has not the scope `admin`.
            Conflict: it was made, but the answer with the secret was lost on the way (`shown_once`): the message names
                it, to be revoked.
        """
        body = {"name": name, "scopes": list(scopes), "expires_in_days": expires_in_days}
        return NewKey._of(self, self.transport.json("POST", "/v1/keys", body=body))

    def revoke_key(self, key_id: str) -> None:
        """Make one of your keys worthless. Twice is no error."""
        self.transport.ask("DELETE", f"/v1/keys/{segment(key_id)}")

    def webhooks(self) -> list[Webhook]:
        """Your webhooks, newest first."""
        return [Webhook._of(self, values) for values in self.transport.json("GET", "/v1/webhooks")["data"]]

    def webhook(self, webhook_id: str) -> Webhook:
        """One of your webhooks."""
        return Webhook._of(self, self.transport.json("GET", f"/v1/webhooks/{segment(webhook_id)}"))

    def create_webhook(
        self,
        url: str,
        *,
        events: Sequence[EventType] = ("job.succeeded", "job.failed", "job.attention"),
        description: str = "",
    ) -> NewWebhook:
        """Have an address told when your jobs end, or want attention. Its `secret` is shown this once.

        Args:
            url: begins with https://, and is public; the server's owner may allow others.
            events: what it is told of. A study is one job: of its parts only `job.attention` is told.

        Raises:
            Refused: the server sends nothing to such an address.
            NotAllowed, Conflict: as `create_key`.
        """
        body = {"url": url, "events": list(events), "description": description}
        return NewWebhook._of(self, self.transport.json("POST", "/v1/webhooks", body=body))


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")
