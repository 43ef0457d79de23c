"""`python -m local admin ...`: how the lab shares its server: limits, usage, maintenance, the front of the queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from local.admin import transaction, user_called
from local.errors import LocalError
from store import accounts, limits
from store.jobs import read, wish
from store.tables import User

_LIMITS = {"max_running": int, "max_queued": int, "max_gpu_hours": float, "max_storage": int}
_POLICY: dict[str, Any] = {
    **_LIMITS,
    "half_life_hours": float,
    "cpu_rate": float,
    "preemption": str,
    "short_seconds": float,
    "least_run_seconds": float,
    "stall_minutes": float,
}
_WORDS = {"none": limits.UNLIMITED, "lab": None}
_MAY_BE_NONE = {*_LIMITS, "stall_minutes"}


@click.command("reset-key")
@click.argument("name")
def reset_key(name: str) -> None:
    """Make all keys of a user worthless and print a new one, which is shown this once."""
    with transaction() as session:
        click.echo(accounts.reset_keys(session, user_called(session, name), "reset"))


@click.command("limits")
@click.argument("name")
@click.argument("changes", nargs=-1, metavar="[LIMIT=VALUE]...")
def limits_command(name: str, changes: tuple[str, ...]) -> None:
    """Show or change a user's own limits: max_running=4 max_queued=100 max_gpu_hours=40 max_storage=500000000000.

    `none` is no limit, `lab` the lab's.
    """
    values: dict[str, Any] = {}
    for key, text in _pairs(changes, _LIMITS):
        values[key] = _WORDS[text] if text in _WORDS else _number(key, text)
    with transaction() as session:
        _show(limits.set_limits(session, name, values))


@click.command("policy")
@click.argument("changes", nargs=-1, metavar="[NAME=VALUE]...")
def policy(changes: tuple[str, ...]) -> None:
    """Show or change how the lab shares its server: max_running=4 half_life_hours=72 preemption=off."""
    values: dict[str, Any] = {}
    for key, text in _pairs(changes, _POLICY):
        if key == "preemption":
            values[key] = text == "on"
        else:
            values[key] = None if text == "none" and key in _MAY_BE_NONE else _number(key, text)
    with transaction() as session:
        row = limits.set_policy(session, values)
        click.echo(f"maintenance: {row.maintenance or 'no'}")
        for key in _POLICY:
            value = getattr(row, key)
            click.echo(f"{key}: {'none' if value is None else value}")


@click.command("maintenance")
@click.argument("reason", required=False)
@click.option("--off", is_flag=True, help="let jobs start again")
def maintenance(reason: str | None, off: bool) -> None:
    """Let no job start, and say why. What runs goes on; submissions stay possible."""
    if off == (reason is not None):
        raise LocalError("say why, as in `admin maintenance 'new cards until noon'`, or --off")
    with transaction() as session:
        limits.set_policy(session, {"maintenance": reason})


@click.command("front")
@click.argument("job_id", metavar="JOB")
def front(job_id: str) -> None:
    """Let a job start before all others; of a study, all its jobs. Its owner's limits still hold."""
    with transaction() as session:
        anybody = User(id="", name="", role="admin")
        wish.front(session, read.get(session, anybody, job_id))


@click.command("usage")
def usage() -> None:
    """Show what everybody used and may use."""
    with transaction() as session:
        for standing in limits.standings(session):
            _show(standing)


COMMANDS = (reset_key, limits_command, policy, maintenance, front, usage)


def _pairs(changes: tuple[str, ...], known: Any) -> Iterator[tuple[str, str]]:
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or key not in known:
            raise LocalError(f"{change!r} is not NAME=VALUE with one of {', '.join(known)}")
        yield key, text


def _number(key: str, text: str) -> float:
    try:
        return _POLICY[key](text)  # type: ignore[no-any-return]
    except ValueError:
        raise LocalError(f"{key} cannot be {text!r}") from None


def _show(one: limits.Standing) -> None:
    def of(used: str, limit: float | None, unit: str = "") -> str:
        return f"{used} of {'any' if limit is None else f'{limit:g}'}{unit}"

    click.echo(
        f"{one.name}: {of(str(one.running), one.max_running)} running, {of(str(one.waiting), one.max_queued)} waiting, "
        f"{of(f'{one.week_gpu_hours:.1f}', one.max_gpu_hours)} GPU hours this week, "
        f"{of(f'{one.storage / 1e9:.1f}', None if one.max_storage is None else one.max_storage / 1e9, ' GB')}; "
        f"in all {one.gpu_hours:.1f} GPU hours, {one.cpu_hours:.1f} CPU hours, {one.kilowatt_hours:.1f} kWh"
    )
