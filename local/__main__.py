"""`python -m local`: the server's own entry point on one machine. `sieve up`, `demo` and `admin` come here."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from local.admin import admin
from local.backup import backup_command, restore_command
from local.demo import DEFAULT_OUT, demo
from local.doctor import doctor_command
from local.errors import LocalError
from local.home import Home, default_home
from local.lab import COMMANDS
from local.migrations import difference
from local.supervise import up
from local.upkeep import fsck_command, gc_command
from sieve.errors import SieveError
from sieve.specs.presets import PRESETS

HOME = click.option(
    "--home", type=click.Path(path_type=Path), help="data folder  [default: $SIEVE_HOME, or data in the checkout]"
)


@click.group(name="sieve")
def main() -> None:
    """Feature Sieve on one machine."""


@main.command("up")
@HOME
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="address to listen on; 0.0.0.0 is the whole network"
)
@click.option("--port", type=int, help="port to listen on  [default: 8420, or a free one]")
def up_command(home: Path | None, host: str, port: int | None) -> None:
    """Run the service until Ctrl-C: PostgreSQL, Redis, the API and a worker."""
    up(Home(home or default_home()), host=host, port=port)


@main.command("demo")
@click.option("--dataset", type=click.Choice(list(PRESETS)), default="digits", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=DEFAULT_OUT, help="folder for the results  [out/demo]")
def demo_command(dataset: str, seed: int, out: Path) -> None:
    """Run the paper's study through a service of its own, and stop."""
    demo(dataset, seed, out.absolute())


OWN = (fsck_command, gc_command, backup_command, restore_command, doctor_command)
for command in (*OWN, *COMMANDS):
    admin.add_command(command)
main.add_command(admin)


@main.command("check-migrations")
def check_migrations() -> None:
    """Check that the migrations make exactly the tables that `store` describes."""
    if found := difference():
        raise LocalError(found)
    click.echo("migrations and tables agree")


if __name__ == "__main__":
    try:
        main()
    except (LocalError, SieveError) as error:
        sys.exit(f"error: {error}")
