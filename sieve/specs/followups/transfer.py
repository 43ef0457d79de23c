"""Spec of the transfer study (Ilyas et al. 2019, figure 3)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sieve.specs.base import ArchitectureRef
from sieve.specs.followups.base import WithTargets
from sieve.specs.synthesize import DeterministicTargetConstruction


class TransferSpec(WithTargets):
    """Do networks that a model's adversarial examples fool also learn from its D_det?

    The source, of `architecture`, gives D_det from training images and the same perturbations on test images. For each
    of `architectures`: how often a standard model reads the target off the latter, and how accurate a model trained on
    D_det is.
    """

    kind: Literal["transfer"] = "transfer"
    architectures: tuple[ArchitectureRef, ...] = Field(min_length=4, max_length=32)
    """The networks to compare; at least four, else the correlation has no interval."""
    deterministic_target: DeterministicTargetConstruction
    """Construction of D_det, and of the perturbed test images."""
