"""What the follow-up studies share: a dataset, a network, seeds of sources and of trainings, and presets."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from sieve.specs.base import ArchitectureRef, DatasetRef, Precision, Seed, Spec
from sieve.specs.followups.presets import FOLLOWUP_PRESETS
from sieve.specs.presets import merged
from sieve.specs.train import TrainingRecipe


def preset_suffices(schema: dict[str, Any]) -> None:
    """In the JSON schema no field is required: a preset fills in what is missing."""
    schema.pop("required", None)


class Preset(Spec):
    """A spec that a named preset can fill in. Subclasses have a `kind` with a default, which is whose presets count."""

    model_config = ConfigDict(json_schema_extra=preset_suffices)

    preset: str | None = None
    """See `GET /v1/presets`; absent when every field is given."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("preset") is None:
            return value
        presets = FOLLOWUP_PRESETS[cls.model_fields["kind"].default]
        name = value["preset"]
        if isinstance(name, str) and name in presets:
            return merged(presets[name], value)
        reason = f"there is no preset {name!r}; there are {', '.join(presets)}"
        unknown = PydanticCustomError("unknown_preset", "{reason}", {"reason": reason})
        named = InitErrorDetails(type=unknown, loc=("preset",), input=name)
        raise ValidationError.from_exception_data(cls.__name__, [named])


class FollowUp(Preset):
    """A study with networks."""

    dataset: DatasetRef
    """What the study is made on."""
    architecture: ArchitectureRef
    """The network, of the sources and of all trainings."""
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2), min_length=1, max_length=100)
    """Each seed makes sources and datasets of its own; the report gives mean and spread over them."""
    trainings: int = Field(default=1, ge=1, le=100)
    """Models trained on each constructed dataset, each from initial weights of its own."""
    training: TrainingRecipe
    """How standard models are trained, without an adversary."""
    precision: Precision | None = None
    """Arithmetic of attack and synthesis gradients in every job of the study; absent for each kind's own default."""

    @model_validator(mode="after")
    def _seeds_once_and_plain_training(self) -> FollowUp:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds holds a seed twice")
        if self.training.adversary is not None:
            raise ValueError("training has an adversary: standard models are trained plainly")
        return self


class WithTargets(FollowUp):
    """A study that trains on targeted perturbations, which often want another recipe."""

    target_training: TrainingRecipe | None = None
    """How datasets of targeted perturbations are trained on, where it differs from `training`."""

    @model_validator(mode="after")
    def _plain_target_training(self) -> WithTargets:
        if self.target_training is not None and self.target_training.adversary is not None:
            raise ValueError("target_training has an adversary: constructed datasets are trained on plainly")
        return self

    @property
    def on_targets(self) -> TrainingRecipe:
        """The recipe for datasets of targeted perturbations."""
        return self.target_training or self.training


class WithAdversary(FollowUp):
    """A study that needs an adversarially trained model."""

    adversarial_training: TrainingRecipe
    """How the robust model is trained; needs an adversary."""

    @model_validator(mode="after")
    def _an_adversary(self) -> WithAdversary:
        if self.adversarial_training.adversary is None:
            raise ValueError("adversarial_training needs an adversary")
        return self
