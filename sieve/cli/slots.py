"""`sieve slots`: what runs where, and (for admins) `hold` and `release`."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from sieve.cli.terminal import Terminal, with_terminal

_STYLES = {"free": "green", "busy": "blue", "held": "yellow", "draining": "yellow", "avoided": "red"}
_GIB = 1 << 30


@click.group(invoke_without_command=True)
@with_terminal
def slots(terminal: Terminal) -> None:
    """Show every slot of every host: what runs there, and how its GPU is."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    with terminal.client() as client:
        found = client.slots()
    terminal.rows(
        found,
        ("host", "slot", "state", "job", "kind", "owner", "memory", "load", "temp", "foreign", "why"),
        lambda row: (
            row["host"],
            row["name"],
            Text(row["state"], style=_STYLES.get(row["state"], "")),
            row["job"],
            row["kind"],
            row["owner"],
            *_card(row["card"]),
            row["why"],
        ),
        id_=lambda row: f"{row['host']} {row['name']}",
        spare=("foreign", "owner", "temp", "load", "kind", "memory"),
    )


def _card(card: dict[str, Any] | None) -> tuple[str, str, str, str]:
    """Memory, load, temperature and others' processes, for people."""
    if card is None:
        return "", "", "", ""
    others = [f"{one['name'] or '?'} ({one['pid']})" for one in card["holders"] if one["foreign"]]
    return (
        f"{card['memory_used'] / _GIB:.1f} of {card['memory_total'] / _GIB:.0f} GiB",
        "" if card["utilisation"] is None else f"{card['utilisation']} %",
        "" if card["celsius"] is None else f"{card['celsius']} °C",
        ", ".join(others),
    )


@slots.command()
@click.argument("host")
@click.argument("slot", default="")
@click.option(
    "--drain", is_flag=True, help="What runs there moves on from its next checkpoint, else it runs to its end."
)
@click.option("--reason", "-m", default="", help="Shown to everybody.")
@with_terminal
def hold(terminal: Terminal, *, host: str, slot: str, drain: bool, reason: str) -> None:
    """Take no new work on HOST, or on one SLOT of it. For admins."""
    with terminal.client() as client:
        _show_holds(terminal, client.hold(host, slot, drain=drain, reason=reason))


@slots.command()
@click.argument("host")
@click.argument("slot", default="")
@with_terminal
def release(terminal: Terminal, *, host: str, slot: str) -> None:
    """Let HOST, or one SLOT of it, take work again. For admins."""
    with terminal.client() as client:
        _show_holds(terminal, client.release(host, slot))


def _show_holds(terminal: Terminal, holds: list[dict[str, Any]]) -> None:
    terminal.rows(
        holds,
        ("host", "slot", "drain", "by", "reason"),
        lambda row: (row["host"], row["slot"] or "all", "yes" if row["drain"] else "", row["by"], row["reason"]),
        id_=lambda row: f"{row['host']} {row['slot']}".strip(),
    )
