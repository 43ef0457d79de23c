"""How a routine speaks to whoever runs it: progress, metrics, checkpoints, files; and what it is given.

`Context` is the whole contract between `core` and the service. `MemoryContext` is the one for notebooks and tests.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from core.cards import DatasetCard, ModelCard
from core.errors import Stopped


@dataclass(frozen=True)
class Checkpoint:
    """Where a routine stands: enough to go on as if it had never stopped."""

    step: int
    """In the routine's own unit (epochs, blocks); also the step of the progress shown."""
    tensors: Mapping[str, torch.Tensor]
    values: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """JSON values: where it was saved. The routine's context fills it in."""
    continues: int | None = None
    """Step of the checkpoint that this one only adds to; None of one that says everything by itself."""


@dataclass(frozen=True)
class StoredDataset:
    """A dataset file that a job made (safetensors, see `core.images`)."""

    path: Path


@dataclass(frozen=True)
class FolderDataset:
    """An image folder registered by the server's owner: `train/<class>/*`, `test/<class>/*`."""

    path: Path


@dataclass(frozen=True)
class Part:
    """What the job of one share of a large job left."""

    path: Path
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class Inputs:
    """What the references of a spec stand for. Names that are missing here are built-in datasets."""

    datasets: Mapping[str, StoredDataset | FolderDataset] = field(default_factory=dict)
    """By reference name."""
    models: Mapping[str, Path] = field(default_factory=dict)
    """By reference name: a model file (safetensors, see `core.models`)."""
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By job reference: the figures of that job's result."""
    parts: Sequence[Part] = ()
    """Of a large job whose blocks were shared out: what was made of all shares, in order. See `core.harvest`."""
    provenance: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of an export's dataset, by reference name: `dataset`, `job`, `spec`, `seed`, `inputs` (sha256 by reference),
    `software`, `hardware`; of uploads also `names`, those of their files."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """By reference name: an uploaded file, that nobody has looked into."""
    contents: dict[str, str] = field(default_factory=dict)
    """By reference name, of datasets that are no stored file and were opened: sha256 of their pixels and labels."""


@dataclass(frozen=True)
class Output:
    """A file that a routine leaves in its scratch folder."""

    name: str
    """File name shown to people, such as `dataset.safetensors`."""
    path: Path
    role: Literal["model", "dataset", "report", "picture", "data"]
    media_type: str


@dataclass(frozen=True)
class Result:
    """What a routine returns."""

    figures: Mapping[str, Any]
    """JSON: every number that it found. Not-a-number and infinities are allowed."""
    outputs: tuple[Output, ...] = ()
    made: DatasetCard | ModelCard | None = None
    """Card of the dataset or model that it made, where nobody could know it before."""


class Context(Protocol):
    """What a routine may ask of whoever runs it."""

    @property
    def device(self) -> torch.device:
        """Where to compute."""

    @property
    def scratch(self) -> Path:
        """A folder of this attempt's own for output files."""

    @property
    def data_folder(self) -> Path:
        """Where built-in datasets keep what they download."""

    def progress(self, phase: str, step: int, total: int) -> None:
        """Say how far the routine is. Cheap: call it as often as there is something to say.

        Raises:
            Stopped: the job was cancelled.
        """

    def metric(self, name: str, value: float, step: int) -> None:
        """Record one point of a curve, such as `loss` after epoch `step`."""

    def log(self, message: str) -> None:
        """Write one line to the job's log."""

    def resume(self) -> Checkpoint | None:
        """The checkpoint to go on from, or None at the beginning."""

    def chain(self) -> Sequence[Checkpoint]:
        """The checkpoint to go on from after all those that it continues, oldest first; empty at the beginning."""

    def safe_point(self, step: int, state: Callable[[], Checkpoint]) -> None:
        """A place where the routine could stop: saves `state()` when a checkpoint is due.

        `state` is called only where what it gives is kept, or the attempt ends.

        Raises:
            Stopped: the job was cancelled, or paused (then a checkpoint was saved first).
        """


class MemoryContext:
    """Keeps everything in memory; runs alone. Checkpoints at every safe point."""

    def __init__(
        self,
        scratch: Path,
        *,
        device: str = "cpu",
        data_folder: Path | None = None,
        chain: Sequence[Checkpoint] = (),
        stop_after: int | None = None,
    ) -> None:
        """The last of `chain` is resumed from; after `stop_after` safe points `Stopped` is raised."""
        scratch.mkdir(parents=True, exist_ok=True)
        self.device = torch.device(device)
        self.scratch = scratch
        self.data_folder = data_folder or scratch
        self.checkpoints = list(chain)
        """Those needed to resume, oldest first."""
        self.metrics: dict[str, list[tuple[int, float]]] = {}
        self.logged: list[str] = []
        self.seen: list[tuple[str, int, int]] = []
        self._left = stop_after

    def progress(self, phase: str, step: int, total: int) -> None:
        """Remember it in `seen`."""
        self.seen.append((phase, step, total))

    def metric(self, name: str, value: float, step: int) -> None:
        """Append to `metrics[name]`."""
        self.metrics.setdefault(name, []).append((step, value))

    def log(self, message: str) -> None:
        """Append to `logged`."""
        self.logged.append(message)

    def resume(self) -> Checkpoint | None:
        """The last checkpoint given at construction, or taken since."""
        return self.checkpoints[-1] if self.checkpoints else None

    def chain(self) -> Sequence[Checkpoint]:
        """Those given at construction and taken since."""
        return self.checkpoints

    def safe_point(self, step: int, state: Callable[[], Checkpoint]) -> None:
        """Take a checkpoint (a copy of its tensors); stop if it is time."""
        taken = state()
        tensors = {name: tensor.detach().clone() for name, tensor in taken.tensors.items()}
        if taken.continues is None:
            self.checkpoints.clear()
        self.checkpoints.append(Checkpoint(step, tensors, dict(taken.values), continues=taken.continues))
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                raise Stopped(f"stopped at step {step}")

    def clear(self) -> None:
        """Remove the scratch folder."""
        shutil.rmtree(self.scratch, ignore_errors=True)
