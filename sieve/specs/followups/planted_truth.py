"""Spec of the planted truth: how much of each planted feature datasets and models keep."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sieve.specs.base import DatasetRef
from sieve.specs.followups.base import WithAdversary, WithTargets
from sieve.specs.synthesize import RandomTargetConstruction, RobustConstruction


class PlantedTruthSpec(WithAdversary, WithTargets):
    """How much of the planted shape and pattern every dataset and model keeps, as amplitude and epsilon vary.

    Decoders that use no network read both features back from D_R, D_NR and D_rand's perturbations. Images whose shape
    and pattern disagree tell which of them a model follows. Without any pattern planted there is nothing to find.
    """

    kind: Literal["planted_truth"] = "planted_truth"
    robust: RobustConstruction
    """Construction of D_R and D_NR."""
    random_target: RandomTargetConstruction
    """Construction of D_rand; its epsilon is replaced by each of `epsilons`."""
    amplitudes: tuple[Annotated[float, Field(gt=0, le=0.5)], ...] = Field(
        default=(0.02, 0.04), min_length=1, max_length=8
    )
    """Of the pattern. The claims are about the first; 0 is always added, as the control."""
    epsilons: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(default=(0.25, 0.5), min_length=1, max_length=8)
    """Of D_rand. The claims are about the first."""

    @model_validator(mode="after")
    def _on_planted(self) -> PlantedTruthSpec:
        if self.dataset.name != "planted":
            raise ValueError(f"dataset is {self.dataset.name}: only in `planted` the truth is known")
        for name in ("amplitudes", "epsilons"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} holds a value twice")
        return self

    def planted(self, amplitude: float) -> DatasetRef:
        """The dataset with a pattern of this amplitude."""
        return self.dataset.model_copy(update={"options": self.dataset.options | {"pattern_amplitude": amplitude}})
