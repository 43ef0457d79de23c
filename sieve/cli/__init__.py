"""The `sieve` command. Exit codes: 0 ok, 1 job failed (or any other failure), 2 usage, 3 not allowed, 4 not found,
5 timed out waiting, 130 interrupted."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from rich.console import Console

from sieve import __version__
from sieve.cli import jobs, results, server
from sieve.cli.account import keys, usage
from sieve.cli.completion import completion
from sieve.cli.lineage import reproduce
from sieve.cli.login import login
from sieve.cli.sharing import link, share, unshare
from sieve.cli.slots import slots
from sieve.cli.submit import submit
from sieve.cli.upload import upload
from sieve.cli.watch import watch
from sieve.cli.webhooks import webhooks
from sieve.errors import ConfigurationError, NotAllowed, NotFound, Refused, SieveError, WaitTimeout

EXIT_CODES: dict[type[SieveError], int] = {
    ConfigurationError: 2,
    Refused: 2,
    NotAllowed: 3,
    NotFound: 4,
    WaitTimeout: 5,
}
INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sieve")
def sieve() -> None:
    """Separate the robust from the non-robust features of an image dataset."""


for command in (
    server.up,
    server.demo,
    submit,
    jobs.jobs,
    jobs.show,
    watch,
    jobs.logs,
    jobs.queue,
    slots,
    jobs.cancel,
    jobs.delete,
    jobs.pause,
    jobs.resume,
    jobs.retry,
    results.report,
    results.download,
    upload,
    reproduce,
    results.datasets,
    results.models,
    share,
    unshare,
    link,
    usage,
    keys,
    webhooks,
    login,
    completion,
    server.admin,
):
    sieve.add_command(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; gives its exit code."""
    try:
        sieve.main(None if arguments is None else list(arguments), standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SystemExit:
        if not type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):  # click's sign that stdout was closed
            raise
        return 0  # who reads has seen enough: `sieve jobs | head -1`
    except (SieveError, OSError) as error:
        _say(error)
        return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)
    return 0


def _say(error: Exception) -> None:
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    err.print(f"error: {error}", markup=False, style="red")
    for note in getattr(error, "__notes__", ()):
        err.print(note, markup=False, style="dim")


def main() -> None:
    """Entry point of the `sieve` command."""
    sys.exit(run())
