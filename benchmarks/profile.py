"""Where the time of one PGD step goes, and how much of what the processor can do it uses.

    OMP_NUM_THREADS=1 python -m benchmarks.profile

Leaves out/bench/profile.json and prints a table. What the processor can do is measured on the same threads: the best
rate of a large matrix product and of wide convolutions, in bfloat16 and in fp32. Weights are random: they do not change
how long anything takes.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.record import FOLDER, record
from benchmarks.subjects import NETWORKS
from core import fused, onednn, pgd
from core.frozen import FrozenModel
from core.fused import Pooling
from core.losses import cross_entropy
from core.models import Classifier, new_classifier
from core.onednn import FixedConvolution
from core.threat import NORMS, Ball

BATCHES = {"small": 256, "resnet18": 64}
PARTS: dict[str, list[tuple[Any, str]]] = {
    "convolutions forward": [(FixedConvolution, "__call__")],
    "convolutions backward": [(FixedConvolution, "back"), (FixedConvolution, "back_to_what_it_reads")],
    "ReLU backward": [(onednn, "cut"), (fused, "cut")],
    "joining of strided gradients": [(FixedConvolution, "_join")],
    "pooling": [(Pooling, "forward"), (Pooling, "backward")],
    "rest of the body": [(fused.FusedBody, "forward"), (fused.Block, "backward"), (fused.Block, "forward")],
    "normalise and cast": [(FrozenModel, "features")],
    "head": [(FrozenModel, "logits")],
    "step, projection, clip": [(Ball, "step")],
    "loss, and autograd outside the body": [(pgd, "gradient")],
}
"""What is timed: each part's functions, less what others of the table take inside them."""


class Stopwatch:
    """Time of processor by part of the work, each without the parts inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside: list[float] = []

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which counts for this part."""

        @functools.wraps(function)
        def run(*args: Any, **settings: Any) -> Any:
            began = time.process_time()
            self._inside.append(0.0)
            try:
                return function(*args, **settings)
            finally:
                took = time.process_time() - began
                self.seconds[part] += took - self._inside.pop()
                if self._inside:
                    self._inside[-1] += took

        return run

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time everything in PARTS."""
        found = [(owner, name, getattr(owner, name)) for places in PARTS.values() for owner, name in places]
        for part, places in PARTS.items():
            for owner, name in places:
                setattr(owner, name, self.timed(part, getattr(owner, name)))
        try:
            yield
        finally:
            for owner, name, function in found:
                setattr(owner, name, function)


def profile(network: str, steps: int) -> dict[str, Any]:
    """Milliseconds of a step by part, and the rate of its multiplications and additions."""
    batch = BATCHES[network]
    model = new_classifier(NETWORKS[network], (3, 32, 32), 10, mean=[0.45] * 3, std=[0.25] * 3, seed=0).eval()
    view = FrozenModel(model, "fast")
    x, y = torch.rand(batch, 3, 32, 32), torch.randint(10, (batch,))

    def attack(times: int) -> None:
        pgd.pgd(lambda z: cross_entropy(view.logits(z), y), Ball(NORMS["l2"], x, 0.5), x, [0.05] * times)

    attack(2)
    began = time.process_time()
    attack(steps)
    whole = (time.process_time() - began) / steps
    watch = Stopwatch()
    with watch.watching():
        attack(steps)
    operations = 2 * batch * convolution_operations(model)
    return {
        "batch": batch,
        "milliseconds": round(1000 * whole, 2),
        "images_steps_per_second": round(batch / whole),
        "gflops": round(operations / whole / 1e9),
        "parts": {part: round(1000 * watch.seconds[part] / steps, 2) for part in PARTS},
        "with_the_stopwatch": round(1000 * sum(watch.seconds.values()) / steps, 2),
    }


def convolution_operations(model: Classifier) -> int:
    """Multiplications and additions of all convolutions for one image, forward; as many again lead back."""
    counted = 0

    def count(module: nn.Module, _: Any, y: torch.Tensor) -> None:
        nonlocal counted
        assert isinstance(module, nn.Conv2d)
        counted += 2 * y[0].numel() * module.weight[0].numel()

    hooks = [part.register_forward_hook(count) for part in model.modules() if isinstance(part, nn.Conv2d)]
    with torch.no_grad():
        model(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    return counted


def rates(dtype: torch.dtype) -> dict[str, int]:
    """The processor's best measured rates, in 1e9 operations a second."""
    a, b = torch.randn(4096, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
    found = {"matrix product": _rate(lambda: a @ b, 2 * 4096 * 2048 * 2048)}
    for channels, size in ((64, 32), (128, 16), (256, 8)):
        module = nn.Conv2d(channels, channels, 3, padding=1).to(dtype).requires_grad_(False)
        convolution = FixedConvolution(module)
        x = torch.randn(64, channels, size, size).to(dtype).contiguous(memory_format=torch.channels_last)
        operations = 2 * x.numel() * channels * 9
        run = functools.partial(convolution, x, relu=True)
        found[f"3x3 convolution, {channels} channels, {size}x{size}"] = _rate(run, operations)
    return found


@torch.no_grad()
def _rate(run: Callable[[], object], operations: int) -> int:
    run()
    times = []
    for _ in range(15):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return round(operations / min(times) / 1e9)


def shown(figures: dict[str, Any]) -> str:
    """The parts as a table."""
    lines = [f"{'milliseconds of a step':38s}" + "".join(f"{network:>20s}" for network in NETWORKS)]
    for part in PARTS:
        cells = ""
        for network in NETWORKS:
            found = figures[network]
            share = found["parts"][part] / found["with_the_stopwatch"]
            cells += f"{found['parts'][part]:12.2f} {share:6.1%}"
        lines.append(f"{part:38s}{cells}")
    return "\n".join(lines)


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "profile.json")
    parser.add_argument("--steps", type=int, default=20)
    asked = parser.parse_args()
    figures: dict[str, Any] = {"rates": {"bf16": rates(torch.bfloat16), "fp32": rates(torch.float32)}}
    best = max(figures["rates"]["bf16"].values())
    for network in NETWORKS:
        found = profile(network, asked.steps)
        figures[network] = found | {"of_rate": round(found["gflops"] / best, 3)}
    record(asked.out, figures)
    print(shown(figures))


if __name__ == "__main__":
    main()
