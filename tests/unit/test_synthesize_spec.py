"""The recipes of feature matching in a spec."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sieve.specs import RobustConstruction, StudySpec


def test_each_recipe_has_its_number_of_gradients() -> None:
    assert RobustConstruction().steps == 1000
    fast = RobustConstruction(recipe="fast")
    assert fast.steps == 200
    assert RobustConstruction(recipe="fast", steps=30).steps == 30
    assert RobustConstruction.model_validate(fast.model_dump(mode="json")) == fast


@pytest.mark.parametrize("given", [{"step_size": 0.2}, {"schedule": "linear"}])
def test_lengths_are_refused_where_they_would_mean_nothing(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="want recipe 'paper'"):
        RobustConstruction.model_validate({"recipe": "fast"} | given)


def test_a_study_can_take_the_other_recipe_and_inherits_nothing_of_the_first() -> None:
    def robust(preset: str, **given: object) -> RobustConstruction:
        return StudySpec.model_validate({"preset": preset, "robust": given}).robust

    assert robust("cifar10", recipe="fast") == RobustConstruction(recipe="fast", steps=200)
    assert robust("planted", recipe="fast") == RobustConstruction(recipe="fast", steps=200)
    assert robust("digits", recipe="paper") == RobustConstruction(recipe="paper", steps=1000)
    assert robust("digits", steps=30) == RobustConstruction(recipe="fast", steps=30)
    assert robust("planted", steps=30) == RobustConstruction(recipe="paper", steps=30, step_size=0.2, schedule="linear")
