"""Spec of the study of learning from wrong labels (Wallace, Distill 2019)."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from sieve.specs.followups.base import FollowUp
from sieve.specs.train import TrainingRecipe


class WrongLabelsSpec(FollowUp):
    """Does a model learn from another model's mistakes alone, on images that nobody perturbed?

    A source is trained for a short while. The training images that it misreads, labelled as it reads them, are a
    dataset without one right label. A model is trained on that.
    """

    kind: Literal["wrong_labels"] = "wrong_labels"
    source_training: TrainingRecipe
    """How the source is trained: briefly, so that it makes mistakes on the images that it was trained on."""

    @model_validator(mode="after")
    def _plain_source(self) -> WrongLabelsSpec:
        if self.source_training.adversary is not None:
            raise ValueError("source_training has an adversary: the source is trained plainly")
        return self
