"""What each part of the fast view brings: PGD with one part after the other added, images x steps a second.

    OMP_NUM_THREADS=1 python -m benchmarks.forms --compile

Leaves out/bench/forms.json. All forms run in turn, several rounds, on the same random images and weights.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.profile import BATCHES
from benchmarks.record import FOLDER, record
from benchmarks.subjects import NETWORKS
from benchmarks.turns import in_turn, ratio
from core import onednn
from core.frozen import FrozenModel
from core.losses import cross_entropy
from core.models import Classifier, new_classifier
from core.pgd import pgd
from core.threat import NORMS, Ball
from sieve.specs import Precision

STEPS = 3
PLAIN = "the model itself, fp32"


def forms(model: Classifier) -> dict[str, Callable[[Tensor], Tensor]]:
    """Logits, in the order in which parts are added."""
    return {
        PLAIN: model,
        "frozen, normalisation folded, channels last": unfused(model, "exact").logits,
        "+ fused, with a backward pass of its own": FrozenModel(model, "exact").logits,
        "+ bfloat16: `fast`": FrozenModel(model, "fast").logits,
        "bfloat16 without being fused": unfused(model, "fast").logits,
    }


def unfused(model: Classifier, precision: Precision) -> FrozenModel:
    """A view as it is where torch lacks the fused operations."""
    with patch.object(onednn, "available", lambda: False):
        return FrozenModel(model, precision)


def measured(network: str, rounds: int, *, compiled: bool) -> dict[str, Any]:
    """Images x steps a second of every form, and how many times faster than the model itself each is."""
    batch = BATCHES[network]
    model = new_classifier(NETWORKS[network], (3, 32, 32), 10, mean=[0.45] * 3, std=[0.25] * 3, seed=0).eval()
    x, y = torch.rand(batch, 3, 32, 32), torch.randint(10, (batch,))
    found = forms(model)
    if compiled:
        found["bfloat16 through torch.compile"] = torch.compile(unfused(model, "fast").logits)

    def attack(logits: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        return lambda: pgd(lambda z: cross_entropy(logits(z), y), Ball(NORMS["l2"], x, 0.5), x, [0.05] * STEPS)

    attacks = {name: attack(logits) for name, logits in found.items()}
    first = {}
    for name, run in attacks.items():
        began = time.perf_counter()
        run()
        first[name] = round(time.perf_counter() - began, 1)
    times = in_turn(attacks, rounds, warm=False)
    return {
        "batch": batch,
        "rounds": rounds,
        "images_steps_per_second": {
            name: round(batch * STEPS / statistics.median(taken.processor)) for name, taken in times.items()
        },
        "ratio": {name: ratio(times[PLAIN].processor, taken.processor) for name, taken in times.items()},
        "first_call_seconds": first,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "forms.json")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="with torch.compile, which needs a C++ compiler")
    asked = parser.parse_args()
    record(asked.out, {name: measured(name, asked.rounds, compiled=asked.compile) for name in NETWORKS})


if __name__ == "__main__":
    main()
