"""What datasets and models look like from outside: enough to check a spec before anything runs. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from core.registry import Registry
from sieve.specs import ArchitectureRef, AttackRef, DatasetRef, ModelRef, Spec, UploadRef

if TYPE_CHECKING:
    from torch import nn

    from core.attack import Attack
    from core.context import Context, Inputs, Result
    from core.findings import Conclusion
    from core.images import Splits
    from core.work import Work

Shape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass(frozen=True)
class DatasetCard:
    """A dataset's shape, seen from outside. Counts are None where they are known only once the files are read."""

    shape: Shape
    classes: tuple[str, ...]
    train_images: int | None = None
    test_images: int | None = None
    """0 for a constructed dataset: it is trained on, and judged on the test images of the dataset it came from."""


@dataclass(frozen=True)
class ModelCard:
    """What a model takes and gives."""

    shape: Shape
    classes: int
    architecture: ArchitectureRef | None = None
    """None of models that were trained before this was written down."""
    attacked: bool = False
    """Was it trained on attacked images?"""


@dataclass(frozen=True)
class DatasetEntry:
    """A built-in dataset."""

    name: str
    summary: str
    options: type[Spec]
    card: Callable[[Any], DatasetCard]
    """From checked options."""
    build: Callable[[Any, Path], Splits]
    """From checked options and a data folder for downloads. Imports torch inside."""


@dataclass(frozen=True)
class ArchitectureEntry:
    """A network family."""

    name: str
    summary: str
    options: type[Spec]
    check: Callable[[Any, Shape], None]
    """Raise `SpecRefused` (pointer below the options) where the options cannot take images of this shape."""
    build: Callable[[Any, Shape], nn.Module]
    """From checked options and image shape: a body that maps [n, C, H, W] to its penultimate features [n, F], with an
    attribute `features: int` = F. `core.models` puts normalisation before it and a linear head behind. Imports torch
    inside."""
    aliases: Callable[[Iterable[str]], dict[str, str]] | None = None
    """From the names of a whole classifier's tensors: further names that others give to them, each with the own one."""


@dataclass(frozen=True)
class AttackEntry:
    """An attack that evaluations can use."""

    name: str
    summary: str
    options: type[Spec]
    norms: frozenset[str]
    """Norms that it can search."""
    build: Callable[[Any], Attack] | None
    """From checked options. Imports torch inside. None where it stands for `members`."""
    gradients: Callable[[Any], tuple[int, int]] | None = None
    """From checked options: tries, and gradients in each, for estimates of time. None: it cannot be told."""
    members: Callable[[Any], Sequence[AttackRef]] | None = None
    """From checked options: the attacks that it stands for, in their order."""
    black_box: bool = False
    """Does it search without gradients? Where it breaks what others left, these may be masked."""


class Catalogue(Protocol):
    """Knows the datasets and models that a spec may name. `store` answers from the database."""

    def dataset(self, ref: DatasetRef) -> DatasetCard:
        """The card of a dataset, built-in, registered, stored or still to be made.

        Raises:
            SpecRefused: there is none, or it cannot be used (a source job that failed); pointer below the reference.
        """

    def model(self, ref: ModelRef) -> ModelCard:
        """The card of a model. Raises `SpecRefused` as `dataset` does."""

    def upload(self, ref: UploadRef) -> None:
        """See that an upload is there, and whole. Raises `SpecRefused`."""


@dataclass(frozen=True)
class Node:
    """One job of a study's graph. References to other nodes are written `@name`."""

    name: str
    spec: Spec


@dataclass(frozen=True)
class JobKind:
    """A kind of job: its spec, how it is checked, and the routine that does it."""

    name: str
    summary: str
    spec: type[Spec]
    slot: Literal["accelerator", "cpu", "none"]
    """Where it runs: on a GPU where there is one, on a CPU slot, or nowhere (a study, which is only its children)."""
    check: Callable[[Any, Catalogue], DatasetCard | ModelCard | None]
    """Check a spec against the catalogue and say what the job will make. Raises `SpecRefused`."""
    build: Callable[[], Callable[[Any, Inputs, Context], Result]] | None = None
    """Gives the routine. Imports torch inside. None for a study."""
    expand: Callable[[Any], list[Node]] | None = None
    """Gives a study's jobs, each after those it needs. None for everything else."""
    conclude: Callable[[Any, Mapping[str, Mapping[str, Any]]], Conclusion] | None = None
    """Of a study whose claims can be tested: says what its jobs, figures by node, have found. Torch-free."""
    work: Callable[[Any, Catalogue], Work] | None = None
    """Counts a checked spec's work, for estimates; raises `core.work.Uncounted`. None: it cannot be counted."""
    blocks: Callable[[Any, Catalogue], int | None] | None = None
    """Counts the blocks of a checked spec's work, None where that is not known yet: kinds that have this can be shared
    out among `shard` jobs, and put together what these left (`Inputs.parts`)."""
    submittable: bool = True


DATASETS: Registry[DatasetEntry] = Registry("dataset", "core.datasets", "feature_sieve.datasets")
ARCHITECTURES: Registry[ArchitectureEntry] = Registry(
    "architecture", "core.architectures", "feature_sieve.architectures"
)
ATTACKS: Registry[AttackEntry] = Registry("attack", "core.attacks", "feature_sieve.attacks")
KINDS: Registry[JobKind] = Registry("job kind", "core.kinds", "feature_sieve.kinds")
