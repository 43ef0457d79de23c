"""`sieve up`, `demo` and `admin`: the server's own commands, where the server is."""

from __future__ import annotations

import importlib.util
import os
import sys

import click

MISSING = """the server is not installed here: this is the client alone.
`sieve {name}` runs from a checkout of Feature Sieve: there, `make demo` does its own set-up."""


def _server_command(name: str, summary: str) -> click.Command:
    settings = {"ignore_unknown_options": True, "help_option_names": []}

    @click.command(name, help=summary, context_settings=settings)
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        if importlib.util.find_spec("local") is None or importlib.util.find_spec("local.__main__") is None:
            raise click.ClickException(MISSING.format(name=name))
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "local", name, *arguments])  # noqa: S606 - ourselves

    return command


up = _server_command("up", "Start the service on this machine, with its own Postgres and Redis.")
demo = _server_command("demo", "Run the paper's study on this machine, from nothing to its table.")
admin = _server_command("admin", "Look after a server: users, keys, folders.")
