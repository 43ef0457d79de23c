"""Run benchmarks one after the other and print a table of all that out/bench/*.json holds.

    python -m benchmarks                     # all of them
    python -m benchmarks attacks profile     # some
    python -m benchmarks --table             # none: only the table

Each runs in a process of its own with as many threads as OMP_NUM_THREADS says (1 when it says nothing).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.record import FOLDER
from benchmarks.table import BENCHMARKS, PEERS, Benchmark, table

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""As a worker's children have it (`worker.children`); the peers get it as well."""


def run(benchmark: Benchmark, images: Path | None) -> bool:
    """Run one and leave its file; whether it ended well. What it prints goes to stderr."""
    command = [str(PEERS) if benchmark.beside_peers else sys.executable, "-m", f"benchmarks.{benchmark.name}"]
    command += [*benchmark.options, "--out", str(FOLDER / f"{benchmark.name}.json")]
    if benchmark.takes_images and images is not None:
        command += ["--images", str(images)]
    environment = {"OMP_NUM_THREADS": "1", **KEEP_MEMORY, **os.environ}
    return subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode == 0  # noqa: S603


def main() -> None:
    """Read the options, run, print; ends with 1 if a benchmark broke off."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which; all when none is given: {', '.join(names)}")
    parser.add_argument("--images", type=Path, help="an image folder for those that measure on images")
    parser.add_argument("--table", action="store_true", help="run nothing")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(names):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    chosen = [one for one in BENCHMARKS if not asked.table and (not asked.names or one.name in asked.names)]
    broken = [benchmark.name for benchmark in chosen if not run(benchmark, asked.images)]
    print(table(FOLDER))
    if broken:
        sys.exit(f"broke off: {', '.join(broken)}")


if __name__ == "__main__":
    main()
