"""Specs of dataset constructions (Ilyas et al. 2019): robust and non-robust datasets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sieve.specs.base import DatasetRef, Epsilon, ModelRef, Norm, Precision, Seed, Spec


class RobustConstruction(Spec):
    """For each training image x, another image is moved until its penultimate features match those of x.

    With an adversarially trained source model this gives D_R, with a standard one D_NR. The label stays that of x.
    """

    method: Literal["robust"] = "robust"
    steps: int = Field(default=1000, ge=1, le=100_000)
    """l2-normalised gradient steps on the feature distance."""
    step_size: float = Field(default=0.1, gt=0, le=1000)
    """Length of the first step, in pixel values."""
    schedule: Literal["constant", "linear"] = "constant"
    """Keep the step's length, or let it fall linearly to 0."""


class TargetedConstruction(Spec):
    """For each training image, a targeted attack towards another class; the image is labelled as that class."""

    norm: Norm = "l2"
    epsilon: Epsilon = 0.5
    """Radius of the ball around the image, in pixel values."""
    steps: int = Field(default=100, ge=1, le=100_000)
    relative_step: float = Field(default=0.2, gt=0, le=10)
    """Length of one step as a fraction of epsilon."""


class RandomTargetConstruction(TargetedConstruction):
    """D_rand: the target is drawn uniformly from all classes, the true one included."""

    method: Literal["random_target"] = "random_target"


class DeterministicTargetConstruction(TargetedConstruction):
    """D_det: the target is the class after the true one, (y + 1) mod C."""

    method: Literal["deterministic_target"] = "deterministic_target"


Construction = Annotated[
    RobustConstruction | RandomTargetConstruction | DeterministicTargetConstruction, Field(discriminator="method")
]


class SynthesizeSpec(Spec):
    """Construct a training set from a dataset's training images and a source model."""

    kind: Literal["synthesize"] = "synthesize"
    construction: Construction
    dataset: DatasetRef
    """The dataset whose training images are used."""
    model: ModelRef
    """The source model, whose features or decisions are read."""
    seed: Seed = 0
    """Fixes start images and random targets."""
    precision: Precision = "exact"
    """Arithmetic of the gradients; what is stored is always fp32, and judged by the fp32 model."""
