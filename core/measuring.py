"""What passes through a network take on this machine: time and memory of a few of each kind, by the code of jobs.

On a CPU with one thread the processor's own time counts, so that neighbours who take turns with us do not.
"""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from core.arithmetic import convolutions
from core.context import Inputs, MemoryContext, StoredDataset
from core.estimate import Point, Rates
from core.frozen import FrozenModel
from core.images import Images, save_dataset
from core.models import Classifier, new_classifier
from core.pgd import PGDAttack
from core.repeating import RECORDED_FROM
from core.seeding import generator
from core.threat import NORMS, Ball
from core.training import train
from core.work import Network, PassKind
from sieve.specs import PGD, ArchitectureRef, DatasetRef, Precision, TrainSpec

SIZES = (16, 64, 256)
"""Images in a pass."""
LONG_SECONDS = 0.1
"""A pass that takes longer is not measured at the third size: by then time grows evenly."""
STEPS = 8
"""Passes that are measured together; fewer of long ones."""


def measure(network: Network, device: torch.device, scratch: Path) -> Rates:
    """Measure a network on a device. Takes a second for a small network and up to a minute for a large one.

    Raises:
        OutOfMemoryError: not even the smallest passes fit.
    """
    with convolutions("exact"):  # as `core.run` has it
        return _measured(_Bench(network, device, scratch))


def _measured(bench: _Bench) -> Rates:
    base = bench.resident()
    passes: dict[PassKind, Callable[[int, int], tuple[float, int]]] = {
        "read": bench.reading,
        "search": partial(bench.searching, precision=bench.network.precision),
        "exact_search": partial(bench.searching, precision="exact"),
        "train": partial(bench.training, adversary=None),
        "adversarial": partial(bench.training, adversary=PGD(steps=1)),
    }
    points = {kind: tuple(_growing(measured)) for kind, measured in passes.items()}
    weights = sum(tensor.numel() * tensor.element_size() for tensor in bench.model.state_dict().values())
    return Rates(passes=points, base=base, weights=weights)


def _growing(measured: Callable[[int, int], tuple[float, int]]) -> Iterator[Point]:
    """One kind of pass at growing sizes. `measured` gives seconds and bytes, from images and from passes to make."""
    steps = STEPS
    for images in SIZES:
        try:
            seconds, memory = measured(images, steps)
        except torch.OutOfMemoryError:
            if images == SIZES[0]:
                raise
            return
        yield Point(images=images, seconds=seconds, memory=memory)
        if seconds > LONG_SECONDS and images != SIZES[0]:
            return
        steps = max(2, min(STEPS, int(LONG_SECONDS / seconds)))


def peak_memory(device: torch.device) -> int:
    """Bytes that this process held at its peak: on the GPU if it computes there, else of the machine's memory."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")


_libc = ctypes.CDLL(None)


class _Bench:
    """A fresh network, images of noise, a clock and a look at the memory."""

    def __init__(self, network: Network, device: torch.device, scratch: Path) -> None:
        self.network, self._device, self._scratch = network, device, scratch
        self._reference = ArchitectureRef(name=network.architecture, options=network.options)
        channels = network.shape[0]
        mean, std = torch.full((channels,), 0.5), torch.full((channels,), 0.25)
        model = new_classifier(self._reference, network.shape, network.classes, mean=mean, std=std, seed=0)
        self.model: Classifier = model.eval().to(device)

    def reading(self, images: int, steps: int) -> tuple[float, int]:
        """Seconds and bytes of one judged batch."""
        x, _ = self._images(images)

        def read(times: int) -> None:
            with torch.no_grad():
                for _ in range(times):
                    self.model(x).argmax(1).cpu()

        return self._per_pass(read, steps)

    def searching(self, images: int, steps: int, precision: Precision) -> tuple[float, int]:
        """Seconds and bytes of one step of an attack."""
        x, y = self._images(images)
        view = FrozenModel(self.model, precision)
        ball = Ball(NORMS["l2"], x, 0.5)

        def search(times: int) -> None:
            draws = generator(0, "measuring", device=self._device)
            PGDAttack("cross_entropy", times, 0.1).perturb(view, y, ball, 0, draws)

        # On a GPU long runs of equal steps are recorded: so they are measured.
        return self._per_pass(search, steps if self._device.type == "cpu" else 2 * RECORDED_FROM)

    def training(self, images: int, steps: int, adversary: PGD | None) -> tuple[float, int]:
        """Seconds and bytes of one step of training: the second epoch of a training of two, by its own account."""
        x, y = self._images(steps * images)
        path = self._scratch / "measuring.safetensors"
        classes = tuple(str(label) for label in range(self.network.classes))
        save_dataset(path, Images(x.cpu(), y.cpu()), classes)
        spec = TrainSpec(
            dataset=DatasetRef(name="measuring"),
            architecture=self._reference,
            epochs=2,
            batch_size=images,
            learning_rate=1e-3,
            adversary=adversary,
            validation_fraction=0,
            select="last",
            precision=self.network.precision,
        )
        context = _Clock(self._scratch / "training", self._device, self.now)
        before = self._forget()
        train(spec, Inputs(datasets={"measuring": StoredDataset(path)}), context)
        return (context.ended[1] - context.ended[0]) / steps, self._peak() - before

    def now(self) -> float:
        """Seconds, once all that was asked of the device is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.process_time() if self._device.type == "cpu" and torch.get_num_threads() == 1 else time.monotonic()

    def resident(self) -> int:
        """Bytes that this process holds: on the GPU if it computes there."""
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        return _status("VmRSS")

    def _per_pass(self, work: Callable[[int], None], steps: int) -> tuple[float, int]:
        """What each pass adds, without what comes before the first."""
        before = self._forget()
        work(1)
        began = self.now()
        work(1)
        once = self.now() - began
        began = self.now()
        work(steps + 1)
        return max(self.now() - began - once, 1e-9) / steps, self._peak() - before

    def _images(self, count: int) -> tuple[Tensor, Tensor]:
        draws = generator(0, "measuring")
        x = torch.rand(count, *self.network.shape, generator=draws)
        return x.to(self._device), (torch.arange(count) % self.network.classes).to(self._device)

    def _forget(self) -> int:
        """Forget the peak so far; bytes held now."""
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            _libc.malloc_trim(0)  # what was freed, but not given back, would hide what comes
            Path("/proc/self/clear_refs").write_text("5")
        return self.resident()

    def _peak(self) -> int:
        return peak_memory(self._device)


class _Clock(MemoryContext):
    """Notes when each epoch ended."""

    def __init__(self, scratch: Path, device: torch.device, now: Callable[[], float]) -> None:
        super().__init__(scratch, device=str(device))
        self.ended: list[float] = []
        self._now = now
        self._epoch = 0

    def progress(self, phase: str, step: int, total: int) -> None:
        """After an epoch the step is one more."""
        super().progress(phase, step, total)
        if step > self._epoch:
            self._epoch = step
            self.ended.append(self._now())


def _status(field: str) -> int:
    """A size in bytes out of this process's status."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field + ":"))
    return 1024 * int(line.split()[1])
