"""`sieve login`."""

from __future__ import annotations

import os

import click

from sieve.cli.terminal import Terminal, with_terminal
from sieve.client import Client
from sieve.config import Config, config_path, save_config


@click.command()
@with_terminal
def login(terminal: Terminal) -> None:
    """Try an address and a key, and keep them for later commands."""
    url = (
        terminal.url
        or os.environ.get("SIEVE_URL")
        or click.prompt("Address of the server", default="http://127.0.0.1:8420", err=True)
    )
    key = terminal.key or os.environ.get("SIEVE_API_KEY") or click.prompt("API key", hide_input=True, err=True)
    with Client(url, key) as client:
        me = client.me()
    save_config(Config(url.rstrip("/"), key))
    if terminal.json:
        terminal.values(me)
    else:
        terminal.say(me["name"] if terminal.quiet else f"{me['name']} ({me['role']})")
    terminal.hint(f"kept in {config_path()}")
