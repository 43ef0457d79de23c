"""Each of the files is refused, with a reason, in a process that stays small."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from formats.unpacking import Task, command
from tests.uploads.malice import SORTS, TOUCHED, Variants

RESIDENT = 512 << 20
QUICK = {"zip 0", "symlink to /etc/passwd", "tar.gz with a great header", "great png", "npz images", "too many"}


_MEASURED = """
import json, resource, subprocess, sys, time
began = time.monotonic()
run = subprocess.run(json.loads(sys.argv[1]), capture_output=True, text=True)
resident = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"said": run.stdout, "wrong": run.stderr, "resident": resident, "seconds": time.monotonic() - began}))
"""
"""Run from a small process: a child's peak counts what its parent had when it was started."""


def refused(name: str, content: bytes, tmp_path: Path) -> dict[str, Any]:
    """See that a file is refused. Gives what that took."""
    path, folder = tmp_path / "upload", tmp_path / "out"
    path.write_bytes(content)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    task = json.dumps(command(Task(str(path), str(folder))))
    run = subprocess.run(
        [sys.executable, "-c", _MEASURED, task], capture_output=True, text=True, check=True, timeout=60
    )
    took: dict[str, Any] = json.loads(run.stdout)
    word = json.loads(took["said"].splitlines()[-1]) if took["said"] else {}
    assert set(word) == {"refused"}, (name, took)
    assert not (folder / "labels.npy").exists()
    assert len(word["refused"]) < 500
    assert word["refused"].isprintable()
    assert took["resident"] < RESIDENT, name
    assert not TOUCHED.exists(), name
    return took


@pytest.mark.parametrize("sort", SORTS, ids=lambda sort: sort.__name__)
def test_some_of_each_sort_are_refused(sort: Callable[[], Variants], tmp_path: Path) -> None:
    for name, content in sort():
        if name in QUICK:
            refused(name, content, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("sort", SORTS, ids=lambda sort: sort.__name__)
def test_all_are_refused(sort: Callable[[], Variants], tmp_path: Path) -> None:
    for name, content in sort():
        refused(name, content, tmp_path)


def test_there_are_a_hundred() -> None:
    assert sum(1 for sort in SORTS for _ in sort()) >= 100
