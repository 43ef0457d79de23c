"""`python -m local admin backup | restore`: database and blobs as they were at one moment, and back again.

    FOLDER/blobs/ab/abcdef…             every blob of every backup, once
    FOLDER/2026-11-23T18-00-00Z/        one backup: database.dump, manifest.json

A second backup into the same folder copies only what is new. The lock of garbage collection is held meanwhile, so that
what the dump refers to is there until it is copied.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy import delete, select, text

from local import dumps
from local.admin import is_configured
from local.errors import LocalError
from local.home import Home, default_home
from local.migrations import migrate
from local.postgres import Postgres
from local.upkeep import check, opened
from sieve import __version__
from store.blobs import BlobStore, DiskBlobs, blob_store, sha256_of
from store.database import Database
from store.garbage import ROUND, unreferenced
from store.jobs.finish import take_back
from store.settings import Settings, settings
from store.tables import Blob, Worker

FORMAT = "feature-sieve backup 1"


@click.command("backup")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--keep", type=click.IntRange(min=1), help="remove all but so many of the newest backups in the folder")
def backup_command(folder: Path, keep: int | None) -> None:
    """Copy database and blobs, as they are at one moment, while the service runs."""
    with opened() as (_, database, blobs), database.alone(ROUND) as mine:
        if not mine:
            raise LocalError("garbage is collected now, or another backup is made: try again later")
        made = back_up(database, blobs, folder.absolute())
    click.echo(f"{made} is made; `admin restore` reads it")
    if keep is not None:
        click.echo(f"{thin_out(folder.absolute(), keep)} older ones are removed")


@click.command("restore")
@click.argument("backup", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--home", type=click.Path(path_type=Path), help="data folder, empty  [default: $SIEVE_HOME]")
def restore_command(backup: Path, home: Path | None) -> None:
    """Read a backup into an empty database and an empty data folder, then check all of it."""
    if is_configured():
        told = settings()
        _restore(backup.absolute(), told.database_url, blob_store(told))
        return
    folder = Home(home or default_home())
    if not folder.hold():
        raise LocalError(f"a service runs on {folder.path}: stop it first")
    with folder:
        server = Postgres(folder.postgres, log=folder.logs / "postgres.log")
        server.start()
        try:
            told = Settings(DATABASE_URL=server.url(), REDIS_URL="", home=folder.path)
            _restore(backup.absolute(), told.database_url, blob_store(told))
        finally:
            server.stop()


def back_up(database: Database, blobs: BlobStore, folder: Path) -> Path:
    """Make a backup in `folder`; the caller holds the lock. Gives the backup's own folder.

    Raises:
        LocalError: a blob is not what it should be, or the dump failed. What was made so far is no backup.
    """
    at = datetime.now(UTC)
    made = folder / f"{at:%Y-%m-%dT%H-%M-%SZ}"
    making = folder / f"{made.name}.part"
    making.mkdir(parents=True)
    dump = making / "database.dump"
    with database.transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        session.execute(text("set local idle_in_transaction_session_timeout = 0"))
        snapshot = session.scalar(text("select pg_export_snapshot()"))
        version = int(session.scalar(text("show server_version_num")) or 0)
        revision = session.scalar(text("select version_num from alembic_version"))
        needed = session.execute(select(Blob.sha256, Blob.size).where(~unreferenced()).order_by(Blob.sha256)).all()
        arguments = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={dump}"]
        dumps.run("pg_dump", arguments, url=database.url, major=version // 10000)
    copies = DiskBlobs(folder / "blobs")
    for sha256, size in needed:
        if not copies.holds(sha256, size):
            _copy(blobs, copies, sha256)
    manifest = {
        "format": FORMAT,
        "at": at.isoformat(),
        "version": __version__,
        "revision": revision,
        "postgres": version // 10000,
        "database": {"sha256": sha256_of(dump), "size": dump.stat().st_size},
        "blobs": {row.sha256: row.size for row in needed},
    }
    (making / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    making.rename(made)
    return made


def thin_out(folder: Path, keep: int) -> int:
    """Remove all but the newest backups, and blobs that none of these names. Gives how many went."""
    made = sorted(path.parent for path in folder.glob("*/manifest.json") if path.parent.suffix != ".part")
    gone = made[:-keep]
    needed = {sha256 for backup in made[-keep:] for sha256 in _manifest(backup)["blobs"]}
    for backup in gone:
        shutil.rmtree(backup)
    copies = DiskBlobs(folder / "blobs")
    for kept in copies.everything():
        if kept.sha256 not in needed:
            copies.delete(kept.sha256)
    return len(gone)


def _restore(backup: Path, url: str, blobs: BlobStore) -> None:
    manifest = _manifest(backup)
    database = Database(url)
    try:
        with database.transaction() as session:
            tables = session.scalar(text("select count(*) from pg_tables where schemaname = 'public'"))
            major = int(session.scalar(text("show server_version_num")) or 0) // 10000
        if tables or next(iter(blobs.everything()), None) is not None:
            raise LocalError("there are tables or blobs here already: a backup is restored into an empty place alone")
        dump = backup / "database.dump"
        if sha256_of(dump) != manifest["database"]["sha256"]:
            raise LocalError(f"{dump} is damaged: it does not have the sha256 that the manifest names")
        copies = DiskBlobs(backup.parent / "blobs")
        for sha256 in manifest["blobs"]:
            stored, _ = blobs.put(copies.fetch(sha256))
            if stored != sha256:
                raise LocalError(f"{copies.path(sha256)} is damaged: restore from another backup")
        arguments = ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", "--dbname="]
        dumps.run("pg_restore", [*arguments, str(dump)], url=url, major=max(major, manifest["postgres"]))
        migrate(url)
        with database.transaction() as session:
            session.execute(delete(Worker))
            session.execute(delete(Blob).where(unreferenced()))
            again = take_back(session, code="restored", message="the server was restored from a backup")
        wrong = [finding.message for finding in check(database, blobs) if finding.wrong]
        if wrong:
            raise LocalError("the backup is restored, and not as it should be:\n" + "\n".join(wrong[:20]))
    finally:
        database.dispose()
    click.echo(
        f"restored: {len(manifest['blobs'])} files, and the database of {manifest['at']}; fsck finds nothing wrong"
    )
    click.echo(f"{again} jobs that ran then are queued again, to go on from their checkpoints")


def _copy(blobs: BlobStore, copies: DiskBlobs, sha256: str) -> None:
    with blobs.open(sha256) as reading:
        stored, _ = copies.receive(reading)
    if stored != sha256:
        copies.delete(stored)
        raise LocalError(f"the blob {sha256} is damaged: `admin fsck` says who needs it")


def _manifest(backup: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((backup / "manifest.json").read_text())
    except (FileNotFoundError, ValueError):
        raise LocalError(f"{backup} is no backup: it has no manifest.json that can be read") from None
    if manifest.get("format") != FORMAT:
        raise LocalError(f"{backup} is a {manifest.get('format')!r}; this version reads {FORMAT!r}")
    return manifest
