"""Spec of the study of robust-feature leakage (Goh, Distill 2019)."""

from __future__ import annotations

from typing import Literal

from sieve.specs.followups.base import WithAdversary, WithTargets
from sieve.specs.probe import LinearFeatures, PenultimateFeatures
from sieve.specs.synthesize import DeterministicTargetConstruction, RandomTargetConstruction


class LeakageSpec(WithAdversary, WithTargets):
    """How much of what D_rand and D_det teach can be learnt from robust features alone?

    A linear classifier on robust features is fitted to each dataset and read on the clean test images. The features
    are linear in the pixels and certified robust, or, not certified, those of an adversarially trained network.
    """

    kind: Literal["leakage"] = "leakage"
    random_target: RandomTargetConstruction
    """Construction of D_rand."""
    deterministic_target: DeterministicTargetConstruction
    """Construction of D_det."""
    linear: LinearFeatures = LinearFeatures()
    """The certified features."""
    deep: Literal["penultimate", "logits"] = "penultimate"
    """Which outputs of the adversarially trained network are the other features."""

    def deep_features(self, model: str) -> PenultimateFeatures:
        """The features of a model."""
        return PenultimateFeatures.model_validate({"model": model, "layer": self.deep})
