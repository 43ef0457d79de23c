"""Spec of the study of perturbations that do not transfer (Nakkiran, Distill 2019)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sieve.specs.followups.base import WithTargets
from sieve.specs.synthesize import TargetedConstruction


class JustBugsSpec(WithTargets):
    """Are there adversarial perturbations that are no features: that fool one model and no other?

    Targeted PGD against a source that also keeps an ensemble of other models right. Held-out models say whether the
    result transfers, models trained on it whether anything was in it. The same ball without the ensemble, which is
    D_det, is the control.
    """

    kind: Literal["just_bugs"] = "just_bugs"
    construction: TargetedConstruction = TargetedConstruction()
    """Ball and steps of the perturbations, with and without the ensemble; the target is the class after."""
    ensemble: int = Field(default=3, ge=1, le=32)
    """Models that the perturbation must leave right: of the source's architecture and recipe, other weights."""
    held_out: int = Field(default=2, ge=1, le=32)
    """Further such models, which the search never sees: they tell what transfers."""
