"""Specs of dataset constructions (Ilyas et al. 2019): robust and non-robust datasets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sieve.specs.base import DatasetRef, Epsilon, ModelRef, Norm, Precision, Seed, Spec


class RobustConstruction(Spec):
    """For each training image x, another image is moved until its penultimate features match those of x.

    With an adversarially trained source model this gives D_R, with a standard one D_NR. The label stays that of x.
    """

    method: Literal["robust"] = "robust"
    recipe: Literal["paper", "fast"] = "paper"
    """How the feature distance is made small. `paper`: l2-normalised gradient steps of given lengths; the last point.
    `fast`: steps that choose their own length, and the nearest of the points passed; on the sources tried it came as
    near as the paper's 1000 steps in 35 to 200 gradients, by another path."""
    steps: int = Field(default=1000, ge=1, le=100_000)
    """Gradients taken for each image; when absent 1000 in recipe `paper` and 200 in recipe `fast`."""
    step_size: float = Field(default=0.1, gt=0, le=1000)
    """Length of the first step, in pixel values; recipe `paper` alone."""
    schedule: Literal["constant", "linear"] = "constant"
    """Keep the step's length, or let it fall linearly to 0; recipe `paper` alone."""
    start: Literal["image", "noise"] = "image"
    """Start from another training image, drawn at random, or from uniform noise in [0, 1]."""

    @model_validator(mode="before")
    @classmethod
    def _fast_takes_few_steps(cls, value: Any) -> Any:
        return {"steps": 200} | value if isinstance(value, dict) and value.get("recipe") == "fast" else value

    @model_validator(mode="after")
    def _fast_chooses_its_lengths(self) -> RobustConstruction:
        if self.recipe == "fast" and (self.step_size, self.schedule) != (0.1, "constant"):
            raise ValueError("recipe 'fast' chooses its own step lengths; step_size and schedule want recipe 'paper'")
        return self


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


class UntransferableConstruction(TargetedConstruction):
    """Perturbations that fool the source and leave other models right (Nakkiran, Distill 2019).

    Each step goes down the source's cross-entropy to the target plus the ensemble's mean cross-entropy to the true
    label. The image is labelled as the target.
    """

    method: Literal["untransferable"] = "untransferable"
    ensemble: tuple[ModelRef, ...] = Field(min_length=1, max_length=32)
    """Models that are to stay right."""
    target: Literal["next", "random"] = "next"
    """`next`: (y + 1) mod C. `random`: uniform over all classes."""


class ErrorsConstruction(Spec):
    """The images that the source misreads, unchanged, labelled as it reads them (Wallace, Distill 2019)."""

    method: Literal["errors"] = "errors"


Construction = Annotated[
    RobustConstruction
    | RandomTargetConstruction
    | DeterministicTargetConstruction
    | UntransferableConstruction
    | ErrorsConstruction,
    Field(discriminator="method"),
]


class SynthesizeSpec(Spec):
    """Construct a training set from a dataset's images and a source model."""

    kind: Literal["synthesize"] = "synthesize"
    construction: Construction
    dataset: DatasetRef
    """The dataset whose images are used."""
    model: ModelRef
    """The source model, whose features or decisions are read."""
    split: Literal["train", "test"] = "train"
    """Which of the dataset's images are used. What is made of test images tells how perturbations fare on other models
    (`readings` of an evaluation); it is not for training."""
    further_models: tuple[ModelRef, ...] = Field(default=(), max_length=16)
    """Further sources, for the same number of gradients in all: targeted constructions follow one source after the
    other, robust ones match the features of all at each step and take fewer steps. Not the paper's recipe."""
    seed: Seed = 0
    """Fixes start images and random targets."""
    precision: Precision = "fast"
    """Arithmetic of the gradients. `exact`: fp32. `fast`: bfloat16 where the device has it, else as `exact`; models
    trained on the result were as good. What is stored is always fp32, and judged by the fp32 model."""
