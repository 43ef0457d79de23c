"""`sieve keys` and `usage`: who you are to the server, and what you used of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import click

from sieve.account import Key, Scope
from sieve.cli.durations import Duration
from sieve.cli.terminal import Terminal, ago, size, with_terminal

_DAY = 86400


@click.group(invoke_without_command=True)
@with_terminal
def keys(terminal: Terminal) -> None:
    """List your API keys."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    with terminal.client() as client:
        _show(terminal, client.keys())


@keys.command()
@click.argument("name", default="")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(get_args(Scope)), help="May be given again; all without."
)
@click.option("--expires", metavar="TIME", type=Duration(), help="After this it is worthless, such as 90d.")
@with_terminal
def create(terminal: Terminal, *, name: str, scopes: tuple[Scope, ...], expires: float | None) -> None:
    """Make a key and print it. NAME tells keys apart, such as `laptop`.

    `read` looks and downloads, `submit` also submits and changes jobs, `admin` also makes keys and webhooks.
    """
    days = None if expires is None else expires / _DAY
    with terminal.client() as client:
        made = client.create_key(name, scopes=scopes or get_args(Scope), expires_in_days=days)
    if terminal.json:
        terminal.values(made.to_dict())
    else:
        click.echo(made.key)
        terminal.hint(f"{made.id}: shown this once; to end it: sieve keys revoke {made.id}")


@keys.command()
@click.argument("key_ids", metavar="KEY...", nargs=-1, required=True)
@with_terminal
def revoke(terminal: Terminal, key_ids: tuple[str, ...]) -> None:
    """Make keys (key_…) worthless."""
    with terminal.client() as client:
        for key_id in key_ids:
            client.revoke_key(key_id)
        found = client.keys()
    _show(terminal, [key for key in found if key.id in key_ids])


@click.command()
@click.option("--user", help="Somebody else; for admins.")
@with_terminal
def usage(terminal: Terminal, user: str | None) -> None:
    """Show what you used and may use: slots, waiting jobs, GPU hours, storage."""
    with terminal.client() as client:
        used = client.usage(user)
    if terminal.json:
        terminal.values(used)
        return
    limited = {"running": "{:.0f}", "queued": "{:.0f}", "gpu_hours_this_week": "{:.2f}", "storage": None}
    rows = [{"id": name, **used[name], "as": form} for name, form in limited.items()]
    rows += [{"id": f"{name}_in_all", "used": used[name], "as": "{:.2f}"} for name in ("gpu_hours", "cpu_hours")]
    terminal.rows(
        rows,
        ("what", "used", "limit"),
        lambda row: (row["id"].replace("_", " "), _amount(row, row["used"]), _amount(row, row.get("limit"))),
        id_=lambda row: f"{row['id']} {row['used']}",
    )


def _amount(row: dict[str, Any], value: float | None) -> str:
    if value is None:
        return "" if "limit" not in row else "none"
    return size(value) if row["as"] is None else row["as"].format(value)


def _show(terminal: Terminal, found: list[Key]) -> None:
    terminal.rows(
        found,
        ("id", "name", "begins", "scopes", "age", "ends"),
        lambda key: (key.id, key.name, f"sieve_{key.prefix}_", " ".join(key.scopes), ago(key.created_at), _ends(key)),
        spare=("age", "begins", "scopes"),
    )


def _ends(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "never"
    return f"{key.expires_at:%Y-%m-%d}" if key.expires_at > datetime.now(UTC) else "expired"
