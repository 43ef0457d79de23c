"""Shell completion: the scripts that shells load, and the values that the server knows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from sieve.client import Client
from sieve.errors import SieveError
from sieve.specs import PRESET_SUMMARIES

SECONDS = 2.0
"""Who presses Tab does not wait for a server that is away."""
_WHERE = {
    "bash": "~/.local/share/bash-completion/completions/sieve",
    "zsh": '"${fpath[1]}/_sieve"',
    "fish": "~/.config/fish/completions/sieve.fish",
}
_Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command(epilog="Load it with: " + "; ".join(f"sieve completion {s} > {p}" for s, p in _WHERE.items()))
@click.argument("shell", type=click.Choice(list(_WHERE)))
def completion(shell: str) -> None:
    """Print the script that makes Tab complete commands, options, ids and names in bash, zsh or fish."""
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, "sieve", "_SIEVE_COMPLETE").source())


def _asked(values: Callable[[Client], Iterable[tuple[str, str]]]) -> _Completer:
    """Values with a word on each from the server; none where it does not answer at once."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        url, key = context.params.get("url"), context.params.get("key")
        with contextlib.suppress(SieveError), Client(url, key, timeout=SECONDS, tries=1) as client:
            return [CompletionItem(name, help=said) for name, said in values(client) if name.startswith(incomplete)]
        return []

    return complete


def _jobs(client: Client) -> Iterable[tuple[str, str]]:
    return [(job.id, f"{job.state} {job.kind} {job.name}".strip()) for job in client.jobs(study="none", limit=50)]


def _datasets(client: Client) -> Iterable[tuple[str, str]]:
    return [(dataset.id, dataset.summary or dataset.source) for dataset in client.datasets(limit=100)]


def _models(client: Client) -> Iterable[tuple[str, str]]:
    return [(model.id, model.architecture) for model in client.models(limit=50)]


def _architectures(client: Client) -> Iterable[tuple[str, str]]:
    return [(name, entry["summary"]) for name, entry in client.architectures().items()]


complete_job = _asked(_jobs)
complete_dataset = _asked(_datasets)
complete_model = _asked(lambda client: [*_jobs(client), *_models(client)])
complete_any = _asked(lambda client: [*_jobs(client), *_datasets(client), *_models(client)])


def _preset(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=said) for name, said in PRESET_SUMMARIES.items() if name.startswith(incomplete)]


BY_FIELD: dict[str, _Completer] = {
    "dataset": complete_dataset,
    "model": complete_model,
    "architecture": _asked(_architectures),
    "preset": _preset,
}
"""Completers of the fields of specs that name something, by the field's name."""
