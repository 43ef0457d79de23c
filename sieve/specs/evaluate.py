"""Specs of evaluations."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from sieve.specs.attack import Threat
from sieve.specs.base import AttackRef, DatasetRef, ModelRef, Precision, Seed, Spec

Corruption = Literal[
    "gaussian_noise", "shot_noise", "impulse_noise", "blur", "pixelate", "contrast", "brightness", "fog"
]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)

_PGD_TWICE = tuple(
    AttackRef(name="pgd", options={"loss": loss, "steps": 50, "restarts": 5, "relative_step": 0.1})
    for loss in ("cross_entropy", "margin")
)


class EvaluationRecipe(Spec):
    """How a model is judged: clean, under attack (worst case per image over all attacks and restarts), under noise."""

    threats: tuple[Threat, ...] = Field(default=(Threat(norm="l2", epsilons=(0.25, 0.5)),), max_length=8)
    """Norms and radii to attack within."""
    attacks: tuple[AttackRef, ...] = Field(default=_PGD_TWICE, min_length=1, max_length=16)
    """What to attack with; an image counts as robust only where every attack fails. `strong` is the ensemble at the
    strength of AutoAttack."""
    noise: tuple[Annotated[float, Field(gt=0, le=10)], ...] = Field(default=(0.05, 0.1), max_length=16)
    """Standard deviations of Gaussian noise, in pixel values, to read the accuracy under."""
    corruptions: tuple[Corruption, ...] = Field(default=CORRUPTIONS, max_length=8)
    """Common corruptions to read the accuracy under, after Hendrycks and Dietterich (2019)."""
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(default=(1, 3, 5), max_length=5)
    """How severe: from 1 to 5."""

    @model_validator(mode="after")
    def _one_threat_a_norm(self) -> EvaluationRecipe:
        norms = [threat.norm for threat in self.threats]
        if len(set(norms)) < len(norms):
            raise ValueError("threats name a norm twice: put all its epsilons in one")
        return self


class EvaluateSpec(EvaluationRecipe):
    """Measure a model on a dataset's test images, and its reading of constructed datasets' labels."""

    kind: Literal["evaluate"] = "evaluate"
    dataset: DatasetRef
    """The dataset whose test images are used."""
    model: ModelRef
    """The model to judge."""
    readings: tuple[DatasetRef, ...] = Field(default=(), max_length=32)
    """Constructed datasets: how often does the model read the stored label off their training images?"""
    seed: Seed = 0
    """Fixes random starts and noise."""
    precision: Precision = "exact"
    """Arithmetic of the attacks' gradients; every figure is judged by the fp32 model. `exact`: fp32. `fast`: bfloat16
    where the device has it, else as `exact`; it attacks 512 of the images again in fp32 and says so where its attacks
    were weaker by more than 0.3 points. That pays on thousands of test images, not on hundreds."""
