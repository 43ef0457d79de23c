"""A worker played by hand, through the store alone: it claims jobs and ends them as a test wants it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.artifacts import StoredFile
from store.blobs import DiskBlobs
from store.database import Database
from store.jobs import claim, finish, renew

LEASE = 60.0


@dataclass
class Attempt:
    """A claimed job."""

    database: Database
    blobs: DiskBlobs
    claim: claim.Claim

    def progress(self, phase: str, step: int, total: int) -> None:
        with self.database.transaction() as session:
            said = {"phase": phase, "step": step, "total": total}
            renew.renew(session, self.claim.job_id, self.claim.fence, lease_seconds=LEASE, progress=said)

    def record(
        self, *happenings: tuple[str, dict[str, Any]], points: list[tuple[str, int, float]] | None = None
    ) -> None:
        with self.database.transaction() as session:
            renew.record(session, self.claim.job_id, self.claim.fence, happenings=happenings, points=points or [])

    def succeed(self, figures: dict[str, Any], taken: dict[str, Any] | None = None, **files: bytes) -> None:
        """Files by role; `report_json` is `report.json` with the role report."""
        stored = [_store(self.blobs, key, data) for key, data in files.items()]
        with self.database.transaction() as session:
            told = {"figures": figures, "files": stored, "blobs": self.blobs, "taken": taken}
            finish.succeed(session, self.claim.job_id, self.claim.fence, **told)

    def fail(self, message: str = "it broke") -> None:
        with self.database.transaction() as session:
            finish.fail(session, self.claim.job_id, self.claim.fence, code="diverged", message=message)


@dataclass
class Hand:
    """Takes jobs of any sort, the next first."""

    database: Database
    blobs: DiskBlobs

    def take(self) -> Attempt:
        attempt = self._next()
        assert attempt is not None, "nothing waits"
        return attempt

    def _next(self) -> Attempt | None:
        with self.database.transaction() as session:
            taken = claim.claim(session, worker_id="wrk_hand", takes=["accelerator", "cpu"], lease_seconds=LEASE)
        return Attempt(self.database, self.blobs, taken) if taken is not None else None

    def do_everything(self) -> None:
        """Every job succeeds, with tiny files, until nothing waits."""
        made = {"train": "model", "synthesize": "dataset"}
        while (attempt := self._next()) is not None:
            if attempt.claim.kind == "report":
                attempt.succeed({"rows": []}, report_json=b'{"rows": []}', report_md=b"# Report", report_html=b"<h1/>")
            elif attempt.claim.kind in made:
                attempt.succeed({}, **{made[attempt.claim.kind]: attempt.claim.job_id.encode()})
            else:
                attempt.succeed({"standard": 0.5})


_NAMES = {
    "model": ("model.safetensors", "model", "application/octet-stream"),
    "dataset": ("dataset.safetensors", "dataset", "application/octet-stream"),
    "part": ("part.safetensors", "data", "application/octet-stream"),
    "picture": ("sheet.png", "picture", "image/png"),
    "report_json": ("report.json", "report", "application/json"),
    "report_md": ("report.md", "report", "text/markdown"),
    "report_html": ("report.html", "report", "text/html"),
}


def _store(blobs: DiskBlobs, key: str, data: bytes) -> StoredFile:
    source = Path(blobs.root, "source")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(data)
    sha256, size = blobs.put(source)
    name, role, media_type = _NAMES[key]
    return StoredFile(name, role, media_type, sha256, size)
