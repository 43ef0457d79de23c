"""What commands share: the server they speak to, and how they answer: for people, as JSON, or quietly."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from sieve.cli.table import fitted
from sieve.client import Client

COLOURS = {
    "blocked": "dim",
    "queued": "cyan",
    "running": "blue",
    "paused": "yellow",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "magenta",
    "skipped": "dim red",
}


@dataclass
class Terminal:
    """Answers on stdout, everything else on stderr."""

    url: str | None = None
    key: str | None = None
    json: bool = False
    quiet: bool = False
    out: Console = field(default_factory=lambda: _console(stderr=False))
    err: Console = field(default_factory=lambda: _console(stderr=True))

    def client(self) -> Client:
        """The server that was asked for."""
        return Client(self.url, self.key)

    def say(self, text: str | Text) -> None:
        """The answer, as plain text."""
        self.out.print(text, markup=False)

    def values(self, values: Any) -> None:
        """The answer, as JSON."""
        click.echo(json.dumps(values, indent=2, default=str))

    def hint(self, text: str) -> None:
        """What to do next; for people only."""
        if not (self.json or self.quiet):
            self.err.print(text, style="dim", markup=False)

    def rows(
        self,
        records: Iterable[Any],
        columns: Sequence[str],
        row: Callable[[Any], Sequence[Any]],
        *,
        id_: Callable[[Any], str] = lambda record: record["job"] if isinstance(record, dict) else record.id,
        spare: Sequence[str] = (),
    ) -> None:
        """Records as a table, as JSON, or (quietly) as their ids.

        A terminal that is too narrow first gets long cells cut or folded (see `sieve.cli.table`), then goes without the
        columns in `spare`, the first ones first.
        """
        if self.json:
            self.values([record if isinstance(record, dict) else record.to_dict() for record in records])
        elif self.quiet:
            for record in records:
                click.echo(id_(record))
        else:
            cells = [
                [cell if isinstance(cell, Text) else Text(str(cell or "")) for cell in row(one)] for one in records
            ]
            if cells:
                self.out.print(fitted(columns, cells, self.out.width, spare))
            else:
                self.hint("there are none")


def _console(*, stderr: bool) -> Console:
    """As wide as the terminal; wide enough for every table where there is none."""
    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 240
    return console


def with_terminal(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all have: `--url`, `--key`, `--json`, `--quiet`."""

    @click.option("--url", metavar="URL", help="Address of the server; else SIEVE_URL, else the configuration file.")
    @click.option("--key", metavar="KEY", help="API key; else SIEVE_API_KEY, else the configuration file.")
    @click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
    @click.option("--quiet", "-q", is_flag=True, help="Answer with ids alone.")
    @functools.wraps(command)
    def run(*, url: str | None, key: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
        command(Terminal(url, key, as_json, quiet), **options)

    return run


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(state, style=COLOURS.get(state, ""))


def ago(moment: datetime | None) -> str:
    """How long ago, such as `5 min`."""
    if moment is None:
        return ""
    return duration((datetime.now(UTC) - moment).total_seconds())


def size(count: float) -> str:
    """Bytes, in the largest unit that fits."""
    for unit, unit_size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= unit_size:
            return f"{count / unit_size:.{1 if count < 10 * unit_size else 0}f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """A stretch of time, in the largest unit that fits."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
