"""Spec of "adversarial examples are not real features" (Li et al., NeurIPS 2023)."""

from __future__ import annotations

from typing import Literal

from sieve.specs.evaluate import EvaluationRecipe
from sieve.specs.followups.base import WithAdversary
from sieve.specs.pretrain import PretrainRecipe
from sieve.specs.synthesize import RobustConstruction


class NotRealSpec(WithAdversary):
    """Do models trained on D_R stand stronger attacks, and is D_NR of use where no labels are learnt?

    Models trained on D_R are attacked at the radius that the adversarially trained one was trained for, as the paper
    did and more strongly. Encoders are trained without labels on D, D_R and D_NR, and read by a linear classifier.
    """

    kind: Literal["not_real"] = "not_real"
    robust: RobustConstruction
    """Construction of D_R and D_NR."""
    attacks: EvaluationRecipe = EvaluationRecipe()
    """The stronger attacks; threats and noise are not used: the radius is that of the adversary."""
    pretraining: PretrainRecipe = PretrainRecipe()
    """How encoders are trained without labels."""
