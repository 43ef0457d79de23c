"""The paper's study as one spec: source models, four constructed datasets, a model trained on each, all judged."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from sieve.specs.attack import PGD
from sieve.specs.base import ArchitectureRef, DatasetRef, Precision, Seed, Spec
from sieve.specs.evaluate import EvaluationRecipe
from sieve.specs.presets import with_preset
from sieve.specs.synthesize import DeterministicTargetConstruction, RandomTargetConstruction, RobustConstruction
from sieve.specs.train import TrainingRecipe

LearningRate = Annotated[float, Field(gt=0, le=100)]


def _preset_suffices(schema: dict[str, Any]) -> None:
    """In the JSON schema no field is required: a preset fills in what is missing."""
    schema.pop("required", None)


class StudySpec(Spec):
    """Ilyas et al. (2019): D, D_adv, D_R, D_NR, D_rand, D_det and the permuted control, on one dataset.

    A `preset` fills in every field that is not given; a given object is merged into the preset's.
    """

    model_config = ConfigDict(json_schema_extra=_preset_suffices)

    kind: Literal["study"] = "study"
    preset: str | None = None
    """`digits`, `planted`, `cifar10`, ..., see `GET /v1/presets`; absent when every field is given."""
    dataset: DatasetRef
    """What the study is made on."""
    architecture: ArchitectureRef
    """The network, for the sources and for all trainings."""
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1, max_length=100)
    """Each seed runs the whole study, sources included; the report gives mean and spread."""
    training: TrainingRecipe
    """How D, D_R, D_NR, D_rand and D_det are trained on: standard, without an adversary."""
    random_target_training: TrainingRecipe | None = None
    """How D_rand (and its control) is trained on, where it differs: it often wants a smaller learning rate."""
    deterministic_target_training: TrainingRecipe | None = None
    """How D_det is trained on, where it differs."""
    random_target_learning_rates: tuple[LearningRate, ...] = Field(default=(), max_length=16)
    """D_rand (and its control) is trained on with each of these, and the one is kept that reads the held-out images
    best as they were before the construction; absent: the recipe's own rate alone."""
    deterministic_target_learning_rates: tuple[LearningRate, ...] = Field(default=(), max_length=16)
    """The same for D_det."""
    sources: int = Field(default=1, ge=1, le=16)
    """Standard models that D_rand and D_det are made from. More than one is not the paper's recipe: they take turns,
    for the same number of gradients, see `further_models` of a synthesis. D_R and D_NR are of one: more made D_R
    worse."""
    adversarial_training: TrainingRecipe
    """How the robust source D_adv is trained; needs an adversary."""
    robust: RobustConstruction
    """Construction of D_R (from D_adv) and of D_NR (from D)."""
    random_target: RandomTargetConstruction
    """Construction of D_rand, from D."""
    deterministic_target: DeterministicTargetConstruction
    """Construction of D_det, from D."""
    evaluation: EvaluationRecipe
    """How every model is judged."""
    precision: Precision | None = None
    """Arithmetic of attack and synthesis gradients in every job of the study; absent for each kind's own default."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        try:
            return with_preset(value)
        except ValueError as error:  # names the field, not the whole study
            unknown = PydanticCustomError("unknown_preset", "{reason}", {"reason": str(error)})
            named = InitErrorDetails(type=unknown, loc=("preset",), input=value["preset"])
            raise ValidationError.from_exception_data(cls.__name__, [named]) from None

    @model_validator(mode="after")
    def _adversaries_where_they_belong(self) -> StudySpec:
        if self.adversarial_training.adversary is None:
            raise ValueError("adversarial_training needs an adversary")
        for recipe in (self.training, self.random_target_training, self.deterministic_target_training):
            if recipe is not None and recipe.adversary is not None:
                raise ValueError(
                    "only adversarial_training has an adversary: the constructed sets are trained on plainly"
                )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds holds a seed twice")
        return self

    @property
    def adversary(self) -> PGD:
        """The adversary of D_adv."""
        adversary = self.adversarial_training.adversary
        assert adversary is not None
        return adversary
