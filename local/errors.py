"""What can go wrong on one machine.

LocalError
├── ServerFailed       a server did not start, or died while starting
└── StillRunning       an earlier run's servers are not gone yet
"""

from __future__ import annotations

from pathlib import Path


class LocalError(Exception):
    """Base of this package's errors; its text is meant for the person at the terminal."""


class ServerFailed(LocalError):
    """A server did not start; its log says why."""

    def __init__(self, name: str, reason: str, log: Path | None = None) -> None:
        tail = ""
        if log is not None and log.exists():
            lines = log.read_text(errors="replace").splitlines()[-12:]
            tail = f"\nThe end of {log}:\n" + "\n".join(f"  {line}" for line in lines)
        super().__init__(f"{name} {reason}{tail}")


class StillRunning(LocalError):
    """Processes of an earlier run still hold the database files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"an earlier PostgreSQL still uses {folder} and does not end; see `ps` for it")
