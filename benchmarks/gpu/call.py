"""One call on a borrowed machine: a deadline, and an output folder that is handed to the next call."""

from __future__ import annotations

import json
import math
import platform
import shutil
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from core.context import MemoryContext
from core.errors import Stopped
from core.images import Splits
from core.models import Classifier, load_model
from core.tensorfile import read_tensors, write_tensors

PIECE = 15 << 20
"""Bytes of a file that survives a call, at most: 16 MiB come back."""
FIGURES = "figures.json"


class Call:
    """What the parts of a call share. What is to survive it goes through `keep` and `keep_model`, at once."""

    def __init__(
        self, device: torch.device, splits: Splits, *, seconds: float, scratch: Path, out: Path, tiny: bool
    ) -> None:
        self.device, self.splits, self.scratch, self.out, self.tiny = device, splits, scratch, out, tiny
        self.until = time.monotonic() + seconds
        out.mkdir(parents=True, exist_ok=True)
        path = out / FIGURES
        self.figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"calls": []}
        self.figures["calls"].append({**_machine(device), "budget_seconds": seconds, "tiny": tiny})

    @property
    def number(self) -> int:
        """Of this call, from 1."""
        return len(self.figures["calls"])

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.until - time.monotonic()

    def keep(self, name: str, figures: Any) -> None:
        """Write figures down, so that they survive whatever comes."""
        self.figures[name] = figures
        text = json.dumps(self.figures, indent=1, allow_nan=True)
        (self.out / (FIGURES + ".new")).write_text(text)
        (self.out / (FIGURES + ".new")).rename(self.out / FIGURES)

    def part(self, name: str, work: Callable[[], Any], *, least: float) -> None:
        """Do a part unless it was done, if at least so many seconds are left; an error is its figure."""
        if name in self.figures and "error" not in self.figures[name]:
            return
        if self.left() < least:
            say(f"{name}: only {self.left():.0f} s are left, it wants {least:g}")
            return
        began = time.monotonic()
        try:
            found = work()
        except Stopped:
            say(f"{name}: out of time")
            return
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"[:1000]}
        self.keep(name, {**found, "took_seconds": round(time.monotonic() - began, 1), "call": self.number})
        say(f"{name}: {json.dumps(self.figures[name])[:2000]}")

    def context(self, name: str) -> Bounded:
        """For a routine of `core`."""
        return Bounded(self.scratch / name, self.device, self.until)

    def clock(self) -> float:
        """Seconds, once all that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def keep_model(self, name: str, path: Path) -> None:
        """Keep a model file for later calls: in pieces, its weights rounded to half precision so that several fit."""
        tensors, header = read_tensors(path)
        half = self.scratch / "half.safetensors"
        rounded = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
        write_tensors(half, rounded, header)
        data = half.read_bytes()
        for number, at in enumerate(range(0, len(data), PIECE)):
            (self.out / f"{name}.{number}").write_bytes(data[at : at + PIECE])

    def kept_model(self, name: str) -> Path | None:
        """A model that an earlier call kept, as a model file; None where there is none."""
        pieces = sorted(self.out.glob(f"{name}.*"), key=lambda path: int(path.suffix[1:]))
        if not pieces:
            return None
        path = self.scratch / f"{name}.safetensors"
        path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
        tensors, header = read_tensors(path)
        whole = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
        write_tensors(path, whole, header)
        return path

    def load(self, path: Path) -> Classifier:
        """A model on the device."""
        return load_model(path).to(self.device)


class Bounded(MemoryContext):
    """Stops a routine at the deadline, takes no checkpoints, and notes when each step of its progress was reached."""

    def __init__(self, scratch: Path, device: torch.device, until: float = math.inf) -> None:
        super().__init__(scratch, device=str(device))
        self.ended: list[float] = []
        """Seconds at the end of each step (epoch, block) of the progress, by a clock that waits for the device."""
        self._until = until
        self._step = 0

    def progress(self, phase: str, step: int, total: int) -> None:
        """See `Context`."""
        del phase, total
        if time.monotonic() > self._until:
            raise Stopped("the time is over")
        if step > self._step:
            self._step = step
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.ended.append(time.perf_counter())

    def safe_point(self, step: int, state: Any) -> None:
        """No checkpoint: what survives a call is finished jobs."""
        del step, state


def say(line: str) -> None:
    """To whoever watches."""
    print(line, file=sys.stderr, flush=True)


def take_over(before: Path | None, out: Path) -> None:
    """Begin with all that an earlier call left."""
    out.mkdir(parents=True, exist_ok=True)
    if before is not None:
        for path in before.iterdir():
            if path.is_file():
                shutil.copyfile(path, out / path.name)


def _machine(device: torch.device) -> dict[str, Any]:
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "card": card,
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
