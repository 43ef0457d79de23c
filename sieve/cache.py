"""Files that were downloaded, by their sha256, so that none is fetched twice.

They lie in `$SIEVE_CACHE`, or else `~/.cache/sieve`. What was downloaded to another place is only pointed at. A file is
checked against its sha256 whenever it is used: one that somebody changed counts as none.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from sieve.fetching import sha256_of


def cache_folder() -> Path:
    """Where the files are."""
    given = os.environ.get("SIEVE_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sieve"


def cached_path(sha256: str) -> Path:
    """Where the file with this sha256 is, or would be."""
    return cache_folder() / sha256[:2] / sha256


def find(sha256: str) -> Path | None:
    """A file on this machine that has this sha256; None where none is known of."""
    path = cached_path(sha256)
    return path.resolve() if path.is_file() and sha256_of(path) == sha256 else None


def remember(sha256: str, path: Path) -> None:
    """Point at a file that was downloaded to a place of the user's choice. A cache that cannot be written is none."""
    link = cached_path(sha256)
    with contextlib.suppress(OSError):
        if link.is_symlink() or not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            part = link.with_name(f"{link.name}.{os.getpid()}")
            part.unlink(missing_ok=True)
            part.symlink_to(path.resolve())
            part.replace(link)
