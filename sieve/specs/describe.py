"""Spec of a description: what is in a dataset, and what models make of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sieve.specs.base import ArchitectureRef, DatasetRef, ModelRef, Seed, Spec
from sieve.specs.train import TrainingRecipe


class RoundingTrial(TrainingRecipe):
    """Trainings on the dataset as it is and rounded to 8 bits, in pairs that share all else."""

    architecture: ArchitectureRef
    """The network."""
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2), min_length=1, max_length=16)
    """One pair each."""


class DescribeSpec(Spec):
    """Describe a dataset: class balance, pixels, spectrum, distance to its source, nearest neighbours there, pictures;
    of a constructed one also how far its images were moved, and who reads its labels."""

    kind: Literal["describe"] = "describe"
    dataset: DatasetRef
    """Any: built-in, registered, uploaded, constructed."""
    source: DatasetRef | None = None
    """What to compare it with. When absent, what it was constructed from."""
    models: tuple[ModelRef, ...] = Field(default=(), max_length=16)
    """Models that shall read its labels, beside the source model of a constructed one."""
    neighbours: int = Field(default=1000, ge=0, le=100_000)
    """So many of its images, drawn by the seed, are compared with every training image of the source."""
    rounding: RoundingTrial | None = None
    """Measure what 8 bits a channel do to a model trained on it; absent, that is not tried."""
    seed: Seed = 0
    """Fixes which images are sampled."""
