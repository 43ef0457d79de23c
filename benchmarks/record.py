"""What a benchmark leaves: one JSON file with its figures, the date, the machine and the versions. Torch-free."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path("out/bench")
"""Where `make bench` wants the files: <name of the benchmark>.json."""


def record(path: Path, figures: Mapping[str, Any], packages: Sequence[str] = ("torch",)) -> None:
    """Write the figures, with what they were measured on and these packages' versions, and print them."""
    written = json.dumps({**figures, "measured": measured_on(packages)}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written + "\n")
    print(written)


def measured_on(packages: Sequence[str] = ("torch",)) -> dict[str, Any]:
    """The date, the machine and the versions of installed packages."""
    processor, flags = _processor()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": processor,
        "processors": os.cpu_count(),
        "bf16": "avx512_bf16" in flags,
        "amx": "amx_bf16" in flags,
        "threads": os.environ.get("OMP_NUM_THREADS", "as torch chooses"),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _processor() -> tuple[str, frozenset[str]]:
    """Its name, and what it can do as Linux names it (nothing is known elsewhere)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor(), frozenset()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return found.get("model name", platform.machine()), frozenset(found.get("flags", "").split())
