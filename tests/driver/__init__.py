"""A driver's management library with cards that a test can write down: NVML without a GPU."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "nvml.c"


@dataclass
class Driver:
    """For processes that are started with `environment`."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": str(self.folder), "CARDS": str(self.folder / "cards")}

    def cards(self, *lines: str) -> None:
        """One a card: MiB in use and the process that holds them (0: none), or `lost`."""
        new = self.folder / "new"
        new.write_text("".join(f"{line}\n" for line in lines))
        new.replace(self.folder / "cards")


def build(folder: Path) -> Driver:
    """Compile it into `folder`; the test is skipped where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", str(SOURCE), "-o", str(library)], check=True)
    return Driver(folder)
