"""`python -m local admin fsck | gc`: is everything as it should be, and away with what nobody needs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from local.admin import installation
from local.errors import LocalError
from store import fsck, garbage, retention
from store.blobs import BlobStore, blob_store
from store.database import Database
from store.settings import Settings


@click.command("fsck")
@click.option("--quick", is_flag=True, help="look at the sizes of files, not at their bytes")
@click.option("--json", "as_json", is_flag=True, help="one line of JSON")
def fsck_command(quick: bool, as_json: bool) -> None:
    """Check what must hold between jobs, files and bytes. Ends with 1 where something is wrong."""
    with opened() as (_, database, blobs):
        findings = check(database, blobs, hashes=not quick)
    wrong = [finding.message for finding in findings if finding.wrong]
    notes = [finding.message for finding in findings if not finding.wrong]
    if as_json:
        click.echo(json.dumps({"wrong": wrong, "notes": notes}))
    else:
        for message in wrong:
            click.echo(f"wrong: {message}")
        for message in notes:
            click.echo(f"note: {message}; `admin gc` sees to it")
        click.echo(f"{len(wrong)} things are wrong" if wrong else "everything is as it should be")
    sys.exit(bool(wrong))


@click.command("gc")
@click.option("--wait", type=float, help="seconds that a file stays after nothing refers to it  [default: as set]")
def gc_command(wait: float | None) -> None:
    """Forget what is kept too long, and delete files that nothing refers to. Workers do so by themselves every hour."""
    with opened() as (settings, database, blobs), database.alone(garbage.ROUND) as mine:
        if not mine:
            raise LocalError("a worker collects garbage now, or a backup is made: try again later")
        forgotten = retention.forget(database, settings)
        seconds = settings.garbage_seconds if wait is None else wait
        done = garbage.collect(database, blobs, wait_seconds=seconds)
    click.echo(
        f"forgotten: {forgotten.checkpoints} checkpoints, {forgotten.logs} lines of log, {forgotten.events} events"
    )
    click.echo(f"marked: {done.marked} files that nothing refers to, {done.unpublished} that were never published")
    click.echo(f"deleted: {done.deleted} files marked before, {done.bytes} bytes; {done.cleared} leftovers")


def check(database: Database, blobs: BlobStore, *, hashes: bool = True) -> list[fsck.Finding]:
    """All that `fsck` finds, with bars on a terminal."""
    findings: list[fsck.Finding] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bars:
        rows, files = bars.add_task("rows"), bars.add_task("files")
        findings += fsck.rows(database, lambda done, total: bars.update(rows, completed=done, total=total))
        findings += fsck.bytes_of(
            database, blobs, hashes=hashes, tick=lambda done, total: bars.update(files, completed=done, total=total)
        )
    return findings


@contextmanager
def opened() -> Iterator[tuple[Settings, Database, BlobStore]]:
    """This installation's settings, database and blobs."""
    settings = installation()
    database = Database(settings.database_url)
    try:
        yield settings, database, blob_store(settings)
    finally:
        database.dispose()
