"""`sieve webhooks`: addresses that are told when your jobs end, or want attention."""

from __future__ import annotations

from typing import get_args

import click
from rich.text import Text

from sieve.account import EventType, Webhook
from sieve.cli.terminal import Terminal, ago, with_terminal


@click.group(invoke_without_command=True)
@with_terminal
def webhooks(terminal: Terminal) -> None:
    """List your webhooks."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    with terminal.client() as client:
        _show(terminal, client.webhooks())


@webhooks.command()
@click.argument("address")
@click.option(
    "--event", "events", multiple=True, type=click.Choice(get_args(EventType)), help="What to tell; may be given again."
)
@click.option("--description", "-m", default="")
@with_terminal
def create(terminal: Terminal, *, address: str, events: tuple[EventType, ...], description: str) -> None:
    """Have ADDRESS told when your jobs succeed, fail or want attention.

    Prints the secret that deliveries are signed with.
    """
    with terminal.client() as client:
        told = {"events": events} if events else {}
        made = client.create_webhook(address, description=description, **told)
    if terminal.json:
        terminal.values(made.to_dict())
    else:
        click.echo(made.secret)
        terminal.hint(f"{made.id}: the secret is shown this once")
        terminal.hint(f"to see whether it hears: sieve webhooks ping {made.id}")


@webhooks.command()
@click.argument("webhook_id", metavar="WEBHOOK")
@with_terminal
def ping(terminal: Terminal, webhook_id: str) -> None:
    """Send a webhook (whk_…) an event of type `ping`."""
    with terminal.client() as client:
        sent = client.webhook(webhook_id).ping()
    if terminal.json:
        terminal.values(sent.to_dict())
    else:
        terminal.say(sent.id)
        terminal.hint(f"whether it arrives: sieve webhooks deliveries {webhook_id}")


@webhooks.command()
@click.argument("webhook_id", metavar="WEBHOOK")
@click.option("--limit", "-n", default=20, show_default=True, help="At most this many.")
@with_terminal
def deliveries(terminal: Terminal, webhook_id: str, limit: int) -> None:
    """List what a webhook (whk_…) was told, newest first."""
    with terminal.client() as client:
        terminal.rows(
            client.webhook(webhook_id).deliveries(limit=limit),
            ("id", "type", "state", "tries", "status", "age", "why"),
            lambda one: (
                one.id,
                one.type,
                "arrived" if one.delivered_at else "waits" if one.next_at else "given up",
                one.attempts,
                one.status,
                ago(one.created_at),
                one.error,
            ),
            spare=("age", "tries", "status", "why"),
        )


@webhooks.command()
@click.argument("webhook_ids", metavar="WEBHOOK...", nargs=-1, required=True)
@with_terminal
def delete(terminal: Terminal, webhook_ids: tuple[str, ...]) -> None:
    """Forget webhooks (whk_…), and what waits for them."""
    with terminal.client() as client:
        gone = [client.webhook(webhook_id) for webhook_id in webhook_ids]
        for hook in gone:
            hook.delete()
    if terminal.json:
        terminal.values([{"id": hook.id, "deleted": True} for hook in gone])
    else:
        terminal.say("\n".join(hook.id if terminal.quiet else f"{hook.id} is deleted" for hook in gone))


def _change(name: str, help_text: str, *, enabled: bool) -> None:
    @webhooks.command(name, help=help_text)
    @click.argument("webhook_id", metavar="WEBHOOK")
    @with_terminal
    def command(terminal: Terminal, webhook_id: str) -> None:
        with terminal.client() as client:
            _show(terminal, [client.webhook(webhook_id).change(enabled=enabled)])


_change("enable", "Send to a webhook (whk_…) what happens from now on.", enabled=True)
_change("disable", "Send a webhook (whk_…) nothing any more.", enabled=False)


def _show(terminal: Terminal, found: list[Webhook]) -> None:
    terminal.rows(
        found,
        ("id", "url", "state", "events", "what"),
        lambda hook: (
            hook.id,
            hook.url,
            _state(hook),
            " ".join(event.removeprefix("job.") for event in hook.events),
            hook.description,
        ),
        spare=("what", "events"),
    )


def _state(hook: Webhook) -> Text:
    if hook.disabled_at is not None:
        return Text(f"disabled: {hook.disabled_why}", style="red")
    return Text("failing", style="yellow") if hook.failing_since else Text("enabled", style="green")
