"""A disk that is full at each write: a clear error, nothing partial to be seen, and all well once there is space."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from store import fsck, garbage
from store.blobs import DiskBlobs, sha256_of
from store.jobs import delete, wish
from store.tables import Job
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.stage import Place, Stage
from tests.jobs import look
from tests.plugins.rehearsal import RehearsalSpec
from tests.working import eventually

DISK_BYTES = 4 << 20
PAGE = 4096
WAIT, FAIL = 1 << 20, 0
"""Settings of `min_free_bytes`: a worker that waits for space, and one that runs into the wall."""


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """With 0, 1, 2, ... pages left the disk is full at one write later each time.

    Where nobody may mount a tmpfs (a container without the right), there is no trial: n says so.
    """
    if not _may_mount(stage.folder):
        print("disk_full: no tmpfs can be mounted here: not tried", file=sys.stderr)
        return
    with stage.place(SIEVE_LEASE_SECONDS="20", SIEVE_HEARTBEAT_SECONDS="5") as place, _small_disk(place) as disk:
        auditor = Auditor(place.database, DiskBlobs(disk / "blobs"))
        told = {"SIEVE_HOME": str(disk), "SIEVE_CHECKPOINT_SECONDS": "0"}
        with place.working(**told, SIEVE_MIN_FREE_BYTES=str(FAIL)):
            first = place.until(place.submit(RehearsalSpec(steps=3)), "succeeded")  # folders are there
            _forget(place, disk, first)
            for trial in range(n):
                yield _wall(place, auditor, disk, pages=trial % 10)
        waiting = place.working(**told, SIEVE_MIN_FREE_BYTES=str(WAIT), SIEVE_CPU_SLOTS="1")
        with waiting, _filled(disk, 8 * PAGE):
            eventually(lambda: "is full but for" in place.log(), 30, place.log)  # its one slot has looked
            job = place.submit(RehearsalSpec(steps=3))
            with contextlib.suppress(AssertionError):
                place.until(job, seconds=4)
            waited = look(place.database, job.id)
        found = [] if (waited.state, waited.fence) == ("queued", 0) else [f"{job.id} was tried on a full disk"]
        with place.working(**told, SIEVE_MIN_FREE_BYTES=str(WAIT)):
            place.until(job, seconds=30)
        yield Trial(1, found + auditor.check([job.id]))


def _wall(place: Place, auditor: Auditor, disk: Path, *, pages: int) -> Trial:
    with _filled(disk, pages * PAGE):
        ended = place.until(place.submit(RehearsalSpec(steps=3)), seconds=40)
        found = [
            finding.message for finding in fsck.bytes_of(place.database, DiskBlobs(disk / "blobs")) if finding.wrong
        ]
        found += _partial(disk)
        if ended.state == "failed":
            found += auditor.check([ended.id], end=("failed",))
            if ended.status_code != "disk_full" or "No space left" not in str(ended.status_message):
                found.append(f"{pages} pages: {ended.status_code}: {ended.status_message}")
    if ended.state == "failed":
        place.ask(ended, wish.retry)
        place.until(ended, "succeeded", seconds=40)
    found += auditor.check([ended.id], retried=True)
    _forget(place, disk, ended)
    return Trial(1, found, {"ended": f"{ended.state} with {pages} pages"})


def _forget(place: Place, disk: Path, job: Job) -> None:
    """So that the next one's bytes are not there yet."""
    with place.database.transaction() as session:
        delete.delete_job(session, session.get_one(Job, job.id))
    garbage.collect(place.database, DiskBlobs(disk / "blobs"), wait_seconds=-1)


def _partial(disk: Path) -> list[str]:
    """Files below the blobs' names that are not what they are named by."""
    blobs = DiskBlobs(disk / "blobs")
    kept = [one.sha256 for one in blobs.everything()]
    return [f"{sha256} is partial" for sha256 in kept if sha256_of(blobs.path(sha256)) != sha256]


@contextlib.contextmanager
def _small_disk(place: Place) -> Iterator[Path]:
    disk = place.home / "disk"
    disk.mkdir()
    _mount(disk)
    try:
        yield disk
    finally:
        shutil.copytree(disk / "blobs", place.home / "blobs")  # for the audit at the end
        _unmount(disk)


def _may_mount(folder: Path) -> bool:
    probe = folder / "probe"
    probe.mkdir()
    try:
        _mount(probe)
        _unmount(probe)
    except subprocess.CalledProcessError:
        return False
    finally:
        probe.rmdir()
    return True


def _mount(folder: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def _filled(disk: Path, left: int) -> Iterator[None]:
    """All of the disk is taken but `left` bytes."""
    ballast = disk / "ballast"
    status = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(status.f_bavail * status.f_frsize - left, PAGE))
    try:
        yield
    finally:
        ballast.unlink()


DRILL = Drill(
    name="disk_full",
    holds="disk full: clear error, nothing partial visible; a small tmpfs, ENOSPC at each write",
    full=50,
    short=3,
    seconds=40,
    run=run,
    without=("tests.drills.protections:no_staging",),
)
