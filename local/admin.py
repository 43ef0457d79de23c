"""`python -m local admin`: what the server's owner does beside the service: users, keys, registered folders.

It works on the database itself: `DATABASE_URL` or its file of secrets where there is one, as in a container, else that
of the service that runs on this machine.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from sqlalchemy.orm import Session

from core.errors import CoreError
from local.errors import LocalError
from local.home import Home, default_home
from store import accounts
from store.catalogue import register_folder
from store.database import Database
from store.errors import StoreError
from store.settings import Settings, settings
from store.tables import User
from store.workers import workers as all_workers

SILENCE = timedelta(seconds=60)
"""A worker says four times a lease (20 s, if it is not set otherwise) that it lives."""


@click.group("admin")
def admin() -> None:
    """Users, keys and registered folders of this server."""


@admin.command("add-user")
@click.argument("name")
@click.option("--role", type=click.Choice(["member", "admin"]), default="member", show_default=True)
def add_user(name: str, role: accounts.Role) -> None:
    """Make a user and print a key, which is shown this once."""
    with transaction() as session:
        click.echo(accounts.create_key(session, accounts.create_user(session, name, role)))


@admin.command("add-key")
@click.argument("name")
@click.option("--called", default="", help="what the key is for")
def add_key(name: str, called: str) -> None:
    """Print a new key of a user, which is shown this once."""
    with transaction() as session:
        click.echo(accounts.create_key(session, user_called(session, name), called))


@admin.command("register")
@click.argument("name")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--user", "owner", default="admin", show_default=True, help="who registers it")
def register(name: str, folder: Path, owner: str) -> None:
    """Give an image folder (train/CLASS/*, test/CLASS/*) a name that jobs can use."""
    with transaction() as session:
        dataset = register_folder(session, user_called(session, owner), name, folder)
        click.echo(f"{name} is {dataset.id}")


@admin.command("workers")
@click.option("--here", is_flag=True, help="only those on this host; fails where none lives: a health check")
def workers(here: bool) -> None:
    """List the workers that live, and what their slots do."""
    with transaction() as session:
        now = datetime.now(UTC)
        living = [
            worker
            for worker in all_workers(session)
            if now - worker.seen_at < SILENCE and (not here or worker.host == _this_host())
        ]
    for worker in living:
        slots = ", ".join(f"{slot['name']} {slot.get('job') or 'free'}" for slot in worker.slots["slots"])
        click.echo(f"{worker.id} on {worker.host}: {slots}")
    if here and not living:
        raise LocalError(f"no worker on {_this_host()} was heard of for {SILENCE.total_seconds():.0f} s")


def _this_host() -> str:
    """As its worker calls it, see `Settings.host`."""
    return os.environ.get("SIEVE_HOST") or platform.node()


def is_configured() -> bool:
    """Is this server told where its database is, as in a container? Else it runs on its own data folder."""
    return "DATABASE_URL" in os.environ or "SIEVE_SECRETS_DIR" in os.environ


def database_url() -> str:
    """The database of this server. Raises `LocalError` as `installation` does."""
    return installation().database_url


def installation() -> Settings:
    """All settings of this server.

    Raises:
        LocalError: no database is configured, and no service runs on this machine's data folder.
    """
    if is_configured():
        return settings()
    home = Home(default_home())
    address = home.address()
    if address is None:
        raise LocalError(f"no service runs on {home.path}: start it with `sieve up`, or set DATABASE_URL")
    return Settings(DATABASE_URL=address.database_url, REDIS_URL=address.redis_url, home=home.path)


def user_called(session: Session, name: str) -> User:
    """The user of this name.

    Raises:
        LocalError: there is none.
    """
    user = accounts.find_user(session, name)
    if user is None:
        raise LocalError(f"there is no user {name!r}; `admin add-user` makes one")
    return user


@contextmanager
def transaction() -> Iterator[Session]:
    """One on this server's database; what the store refuses is a `LocalError`."""
    database = Database(database_url())
    try:
        with database.transaction() as session:
            yield session
    except (StoreError, CoreError) as error:
        raise LocalError(str(error)) from None
    finally:
        database.dispose()
