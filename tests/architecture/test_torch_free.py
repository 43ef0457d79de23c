"""Importing the client, the store, the API, and the science's own registries costs no torch and needs no settings."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture.sources import PACKAGES, ROOT, modules

ENTRIES = ("core/datasets", "core/architectures", "core/attacks", "core/kinds")
PLANNING = ("core.cards", "core.errors", "core.planning", "core.references", "core.registry", "core.studies")
TORCH_FREE = ("sieve", "formats", "store", "api")

ROUTINES = "formats.routines"
"""Run in workers alone; see `build` of their job kinds."""

PROBE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    if "torch" in sys.modules:
        sys.exit(f"importing {name} imports torch")
"""


def probe(names: list[str]) -> subprocess.CompletedProcess[str]:
    """Import modules in order in a process of their own, without any of the server's settings."""
    command = [sys.executable, "-c", PROBE, *names]
    return subprocess.run(command, cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, check=False)


def test_importing_all_that_plans_and_serves_never_imports_torch() -> None:
    names = [name for package in (*TORCH_FREE, *ENTRIES) for name, _ in modules(package)]
    names = [name for name in names if not name.startswith(ROUTINES)]
    assert set(TORCH_FREE) < set(PACKAGES)
    done = probe([*names, *PLANNING])
    assert done.returncode == 0, done.stderr


def test_the_probe_notices() -> None:
    assert "importing core.context imports torch" in probe(["sieve", "core.context"]).stderr
