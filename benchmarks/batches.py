"""Batches of which size are fastest, and what it costs where freed memory goes back to the system.

    OMP_NUM_THREADS=1 python -m benchmarks.batches
    OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=1073741824 python -m benchmarks.batches

Leaves out/bench/batches.json: for each network the images x steps a second of PGD on 256 random images (a block of an
evaluation or a synthesis) in batches of several sizes, the pages of memory that the system had to hand out for each
image and step, and the most memory that this process has had by then. The second command keeps freed memory, as the
worker's children and `make bench` do.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import FOLDER, record
from benchmarks.subjects import NETWORKS
from core.frozen import FrozenModel
from core.images import BLOCK
from core.models import new_classifier
from core.pgd import PGDAttack
from core.threat import NORMS, Ball

SIZES = (16, 64, 256)
ATTACK = PGDAttack("cross_entropy", steps=3, relative_step=0.1)


def measured(network: str, rounds: int) -> dict[str, Any]:
    """One entry a batch size."""
    model = new_classifier(NETWORKS[network], (3, 32, 32), 10, mean=[0.45] * 3, std=[0.25] * 3, seed=0).eval()
    view = FrozenModel(model, "fast")
    x, y = torch.rand(BLOCK, 3, 32, 32), torch.randint(10, (BLOCK,))
    unused = torch.Generator()  # the first try starts at the image

    def attack(batch: int) -> None:
        for at in range(0, BLOCK, batch):
            part = slice(at, at + batch)
            ATTACK.perturb(view, y[part], Ball(NORMS["l2"], x[part], 0.5), 0, unused)

    found = {}
    for batch in SIZES:
        attack(batch)
        seconds, faults = [], resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(rounds):
            began = time.process_time()
            attack(batch)
            seconds.append(time.process_time() - began)
        used = resource.getrusage(resource.RUSAGE_SELF)
        found[str(batch)] = {
            "images_steps_per_second": round(BLOCK * ATTACK.steps / statistics.median(seconds)),
            "pages_per_image_and_step": round((used.ru_minflt - faults) / (rounds * BLOCK * ATTACK.steps), 1),
            "most_memory_mib": used.ru_maxrss // 1024,
        }
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "batches.json")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    kept = "MALLOC_TRIM_THRESHOLD_" in os.environ
    record(asked.out, {"memory_kept": kept, **{name: measured(name, asked.rounds) for name in NETWORKS}})


if __name__ == "__main__":
    main()
