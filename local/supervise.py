"""`python -m local up`: the service in the foreground, until Ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click

from local.errors import LocalError
from local.home import Home
from local.service import Service
from sieve.config import Config, config_path, find_config, save_config
from sieve.errors import ConfigurationError

TICK = 0.2
"""Seconds between two looks at the processes."""


class Wish:
    """How often somebody asked us to stop: once lets jobs end in order, twice stops at once."""

    def __init__(self) -> None:
        self.times = 0

    def to_stop(self) -> bool:
        """At least once."""
        return self.times >= 1

    def to_hurry(self) -> bool:
        """More than once."""
        return self.times >= 2


@contextmanager
def stop_signals() -> Iterator[Wish]:
    """Count Ctrl-C, SIGTERM and a closed terminal instead of dying of them."""
    wish = Wish()

    def count(*_: object) -> None:
        wish.times += 1

    before = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def up(home: Home, *, host: str, port: int | None) -> None:
    """Run the service of a data folder; or say where it runs already.

    Raises:
        LocalError: something did not start.
    """
    if not home.hold():
        address = home.address(wait_seconds=60)
        if address is None:
            raise LocalError(f"another process holds {home.path} and its service does not come up; see {home.logs}")
        click.echo(f"Feature Sieve is up already: {address.url}")
        return
    with home:
        service = Service(home, host=host, port=port, say=lambda said: click.echo(said, err=True))
        click.echo("starting PostgreSQL, Redis, the API and a worker ...", err=True)
        service.start()
        with stop_signals() as wish:
            try:
                _greet(service)
                while not wish.to_stop():
                    service.tend()
                    time.sleep(TICK)
                click.echo("stopping: running jobs save a checkpoint and go on at the next start")
                click.echo("          (Ctrl-C again stops at once)")
            finally:
                service.stop(hurry=wish.to_hurry)
    click.echo("stopped")


def _greet(service: Service) -> None:
    """Say where it is, and how to be somebody there. The first line is for programs too."""
    logged_in = _log_in(service.url, service.key)
    click.echo(f"Feature Sieve is up: {service.url}")
    click.echo(f"  data folder  {service.home.path} (processes write to {service.home.logs})")
    if logged_in is not None:
        click.echo(f"  sieve        is logged in on this machine ({logged_in})")
    else:
        click.echo(f"  sieve        stays logged in elsewhere; for this one: export SIEVE_URL={service.url}")
    click.echo(f"  key          the admin's: {service.home.key_file}")
    click.echo(f"  log in       with the key: {service.url}/ in a browser,")
    click.echo(f"               sieve login --url {service.url} elsewhere")
    click.echo("  try          sieve submit study --preset digits --watch")
    click.echo("  stop         Ctrl-C once: running jobs are kept; twice: at once")


def _log_in(url: str, key: str) -> Path | None:
    """Write the client's configuration, unless it names a server on another machine."""
    try:
        elsewhere = urlsplit(find_config().url).hostname not in ("127.0.0.1", "localhost", "0.0.0.0")  # noqa: S104
    except ConfigurationError:
        elsewhere = False
    if elsewhere and config_path().exists():
        return None
    return save_config(Config(url, key))
