"""A loss of power, as blobs see it: what was not synced when it came is forgotten.

A worker writes into a journal what each fsync made durable: of a file its size and time, of a folder its entries. After
everybody was killed, `forget` makes the folder what a disk would hold that keeps nothing else: entries that no fsync of
their folder saw are gone, and files that were not synced after their last write are empty. PostgreSQL's own files are
left as they are: that its commits are synced is taken at its word (fsync, synchronous_commit and full_page_writes on).
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from tests.drills.entry import of_worker

_JOURNAL = "synced.jsonl"


@of_worker
def journalled() -> None:
    """Note what each fsync below the data folder makes durable."""
    home = os.environ["SIEVE_HOME"]
    journal = os.open(f"{home}.{_JOURNAL}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sync = os.fsync
    if sync is _nothing:  # what is not synced is not noted either
        return

    def noting(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        now = _now(Path(path)) if path.startswith(home) else None  # before: what comes meanwhile may be lost
        sync(descriptor)
        if now is not None:
            os.write(journal, (json.dumps(now) + "\n").encode())

    os.fsync = noting


@of_worker
def unsynced() -> None:
    """The protection switched off: nothing is synced."""
    os.fsync = _nothing


def _nothing(descriptor: int) -> None:
    del descriptor


def forget(home: Path) -> int:
    """Make the data folder what would have survived. Gives the number of entries and files that were lost."""
    journal = home.with_name(home.name + f".{_JOURNAL}")
    folders: dict[int, dict[str, int]] = {}
    files: dict[int, dict[str, Any]] = {}
    for line in journal.read_text().splitlines() if journal.exists() else []:
        row = json.loads(line)
        if "entries" in row:
            folders[row["inode"]] = row["entries"]
        else:
            files[row["inode"]] = row
    shutil.rmtree(home / "scratch", ignore_errors=True)
    blobs = home / "blobs"
    if folders.get(home.stat().st_ino, {}).get(blobs.name) != blobs.stat().st_ino:
        shutil.rmtree(blobs)
        blobs.mkdir()
        return 1
    return _forget(blobs, folders, files)


def _forget(folder: Path, folders: dict[int, dict[str, int]], files: dict[int, dict[str, Any]]) -> int:
    lost = 0
    durable = folders.get(folder.stat().st_ino, {})
    for path in folder.iterdir():
        now = path.stat()
        if durable.get(path.name) != now.st_ino:
            lost += 1
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        elif path.is_dir():
            lost += _forget(path, folders, files)
        elif files.get(now.st_ino) != _now(path):
            lost += 1
            path.chmod(0o644)
            path.write_bytes(b"")
    return lost


def _now(path: Path) -> dict[str, Any]:
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        with os.scandir(path) as entries:
            return {"inode": found.st_ino, "entries": {entry.name: entry.inode() for entry in entries}}
    return {"inode": found.st_ino, "size": found.st_size, "time": found.st_mtime_ns}
