"""`sieve share`, `unshare` and `link`: let others look at a job, use what it made, or download a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import click

from sieve.cli.completion import complete_any
from sieve.cli.durations import Duration
from sieve.cli.terminal import Terminal, with_terminal
from sieve.client import Client
from sieve.objects import Dataset, Model, Shareable
from sieve.specs import FormatName


def _verb(name: str, help_text: str, act: Callable[[Shareable], Shareable]) -> click.Command:
    @click.command(name, help=help_text)
    @click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_any)
    @with_terminal
    def command(terminal: Terminal, ids: tuple[str, ...]) -> None:
        with terminal.client() as client:
            changed = [act(_named(client, id_)) for id_ in ids]
        terminal.rows(changed, ("id", "shared"), lambda one: (one.id, "yes" if one.shared else "no"))

    return command


share = _verb(
    "share",
    "Let the lab look at jobs (job_…) and use all that they make, or use datasets (ds_…) or models (mdl_…).",
    Shareable.share,
)
unshare = _verb("unshare", "Keep jobs, datasets or models to yourself again.", Shareable.unshare)


@click.command()
@click.argument("id_", metavar="ID", shell_complete=complete_any)
@click.option("--expires", metavar="TIME", type=Duration(), default="1h", show_default=True, help="At most 24h.")
@click.option("--format", "form", type=click.Choice(get_args(FormatName)), default="safetensors", help="Of a dataset.")
@with_terminal
def link(terminal: Terminal, *, id_: str, expires: float, form: FormatName) -> None:
    """Print a link to a dataset (ds_…) or model (mdl_…), with which anybody can download it for a while.

    Of a job, a link to each of its files.
    """
    seconds = max(int(expires), 1)
    with terminal.client() as client:
        if id_.startswith("job_"):
            links = [file.link(seconds=seconds) for file in client.job(id_).artifacts()]
        else:
            made: Dataset | Model = client.model(id_) if id_.startswith("mdl_") else client.dataset(id_)
            links = [made.link(seconds=seconds) if isinstance(made, Model) else made.link(format=form, seconds=seconds)]
    if terminal.json:
        terminal.values([one.to_dict() for one in links])
    else:
        for one in links:
            click.echo(one.url)
    terminal.hint("whoever has it can download; it ends early with the key that it was made with")


def _named(client: Client, id_: str) -> Shareable:
    """What an id stands for."""
    if id_.startswith("job_"):
        return client.job(id_)
    return client.model(id_) if id_.startswith("mdl_") else client.dataset(id_)
