"""Specs of trainings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sieve.specs.attack import PGD
from sieve.specs.base import ArchitectureRef, DatasetRef, Fraction, JobRef, ModelRef, Precision, Seed, Spec


class OneCycle(Spec):
    """The learning rate rises linearly from 0 to its peak, then falls linearly to 0."""

    name: Literal["one_cycle"] = "one_cycle"
    warmup: Fraction = 0.25
    """Fraction of all steps spent rising."""


class StepDecay(Spec):
    """The learning rate is multiplied by `factor` at each milestone."""

    name: Literal["step"] = "step"
    milestones: tuple[Fraction, ...] = Field(default=(0.5, 0.75), max_length=32)
    """Fractions of all steps at which the rate falls."""
    factor: float = Field(default=0.1, gt=0, lt=1)


class Constant(Spec):
    """The learning rate stays as it is."""

    name: Literal["constant"] = "constant"


Schedule = Annotated[OneCycle | StepDecay | Constant, Field(discriminator="name")]


class CrossEntropy(Spec):
    """Cross-entropy of the images, or of the attacked ones where there is an adversary (Madry et al. 2018)."""

    name: Literal["cross_entropy"] = "cross_entropy"


class Trades(Spec):
    """Cross-entropy of the images as they are, and `beta` times the divergence of attacked from clean predictions.

    TRADES, Zhang et al. (2019), arXiv 1901.08573; needs an adversary, which climbs the same divergence. At the image
    itself that is flat: an adversary without a random start begins a small Gaussian step away.
    """

    name: Literal["trades"] = "trades"
    beta: float = Field(default=6.0, gt=0, le=1000)
    """Weight of robustness against accuracy: the paper's 1 / lambda."""


Objective = Annotated[CrossEntropy | Trades, Field(discriminator="name")]


class TrainingRecipe(Spec):
    """How a model is trained: stochastic gradient descent, on clean or on attacked images."""

    epochs: int = Field(default=40, ge=1, le=10_000)
    """Passes over the training images."""
    batch_size: int = Field(default=64, ge=2, le=65_536)
    learning_rate: float = Field(default=0.2, gt=0, le=100)
    """Peak learning rate."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Nesterov momentum."""
    weight_decay: float = Field(default=5e-4, ge=0, le=1)
    schedule: Schedule = Field(default_factory=OneCycle)
    flip: bool = False
    """Mirror each image left to right with probability 1/2."""
    crop_padding: int = Field(default=0, ge=0, le=64)
    """Pad by this many pixels (reflected) and crop back at a random place; 0 for none."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Keep an exponential moving average of the weights with this decay a step, and use it; absent for none."""
    adversary: PGD | None = None
    """Train on images attacked with this; absent for standard training. One step from a random start (`steps` 1,
    `relative_step` 1.25, `random_start`) is the fast schedule of Wong et al. (2020): it can overfit catastrophically,
    which is watched for."""
    objective: Objective = Field(default_factory=CrossEntropy)
    """What is made small."""
    validation_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Part of the training images held out, by a seeded split, to choose the checkpoint; never the test set."""
    select: Literal["best", "last"] = "best"
    """Which weights to keep: the best epoch on the validation split (robust accuracy under `adversary` where there
    is one), or those of the last epoch."""

    @model_validator(mode="after")
    def _best_needs_validation(self) -> TrainingRecipe:
        if self.select == "best" and self.validation_fraction == 0:
            raise ValueError("select 'best' needs a validation_fraction above 0")
        return self

    @model_validator(mode="after")
    def _trades_needs_an_adversary(self) -> TrainingRecipe:
        if isinstance(self.objective, Trades) and self.adversary is None:
            raise ValueError("objective 'trades' needs an adversary")
        return self


class ChooseSpec(Spec):
    """Keep the best of several trainings, by what each scored on its held-out images. Made by studies."""

    kind: Literal["choose"] = "choose"
    models: tuple[ModelRef, ...] = Field(min_length=1, max_length=64)
    """What the trainings made."""
    trainings: tuple[JobRef, ...] = Field(min_length=1, max_length=64)
    """The trainings, in the same order."""


class TrainSpec(TrainingRecipe):
    """Train a network, from fresh random weights, on a dataset's training images."""

    kind: Literal["train"] = "train"
    dataset: DatasetRef
    """What to train on."""
    architecture: ArchitectureRef
    """The network."""
    seed: Seed = 0
    """Fixes initial weights, order, augmentation and validation split."""
    validate_on: DatasetRef | None = None
    """Judge the held-out images of a constructed dataset as they are in this one, which it was made from, and by their
    labels there; absent: as they are in `dataset`."""
    permute_labels: bool = False
    """Train on a seeded permutation of the labels: the negative control of a constructed dataset."""
    precision: Precision = "fast"
    """Arithmetic of the adversary's gradients. `exact`: fp32. `fast`: bfloat16 where the device has it, else as
    `exact`; the trained models were as good. Weights are kept and moved in fp32 always; their gradients are computed in
    fp32, on a GPU in TF32 where it is `fast`."""
