"""Spec of a linear probe: what can be learnt from given features alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sieve.specs.base import DatasetRef, Epsilon, ModelRef, Seed, Spec


class LinearFeatures(Spec):
    """One feature a class, linear in the pixels: the weights of a linear classifier trained against an l2 adversary.

    The worst perturbation of a linear model is known, so the training meets it and the features are certified.
    """

    source: Literal["linear"] = "linear"
    epsilon: Epsilon = 0.25
    """Radius of the adversary's l2 ball, and of the certificate, in pixel values."""
    steps: int = Field(default=2000, ge=1, le=100_000)
    """Gradient steps over all training images at once."""


class PenultimateFeatures(Spec):
    """What a trained network computes."""

    source: Literal["model"] = "model"
    model: ModelRef
    layer: Literal["penultimate", "logits"] = "penultimate"


Features = Annotated[LinearFeatures | PenultimateFeatures, Field(discriminator="source")]


class ProbeSpec(Spec):
    """Fit a linear classifier on frozen features of one dataset, and read it on the test images of another."""

    kind: Literal["probe"] = "probe"
    dataset: DatasetRef
    """Whose test images are read; linear features are trained on its training images."""
    train_on: DatasetRef | None = None
    """Whose training images and labels the classifier is fitted to; those of `dataset` when absent."""
    features: Features = LinearFeatures()
    permute_labels: bool = False
    """Fit to a seeded permutation of the labels: the negative control."""
    strength: float = Field(default=1.0, gt=0, le=1e6)
    """Inverse strength of the l2 regularisation (scikit-learn's C); features have unit variance."""
    seed: Seed = 0
    """Fixes the permutation."""
