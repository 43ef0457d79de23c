"""What the client sends of a spec: what was given, and which of several it is."""

from __future__ import annotations

from typing import Any

import pytest

from core.planning import parse
from sieve.client import _values
from sieve.specs import (
    PGD,
    DeterministicTargetConstruction,
    EvaluateSpec,
    OneCycle,
    RandomTargetConstruction,
    RobustConstruction,
    Spec,
    StepDecay,
    StudySpec,
    SynthesizeSpec,
    Threat,
    TrainSpec,
)

NETWORK: dict[str, Any] = {"dataset": "digits", "architecture": "convnet"}
MADE: dict[str, Any] = {"dataset": "digits", "model": "mdl_1"}


@pytest.mark.parametrize(
    "spec",
    [
        TrainSpec(**NETWORK, adversary=PGD(epsilon=1.0)),
        TrainSpec(**NETWORK, schedule=OneCycle()),
        TrainSpec(**NETWORK, schedule=StepDecay(milestones=(0.2,))),
        SynthesizeSpec(**MADE, construction=RobustConstruction(recipe="fast")),
        SynthesizeSpec(**MADE, construction=RandomTargetConstruction()),
        SynthesizeSpec(**MADE, construction=DeterministicTargetConstruction(epsilon=0.5)),
        EvaluateSpec(**MADE, threats=(Threat(norm="l2", epsilons=(0.5,)),)),
        StudySpec(preset="digits", seeds=(0, 1)),
    ],
    ids=repr,
)
def test_a_spec_arrives_as_it_was_made(spec: Spec) -> None:
    assert parse(_values(spec)) == spec


def test_defaults_are_left_to_the_server() -> None:
    spec = SynthesizeSpec(**MADE, construction=RobustConstruction(steps=10))
    assert _values(spec) == {
        "kind": "synthesize",
        "dataset": {"name": "digits"},
        "model": {"name": "mdl_1"},
        "construction": {"method": "robust", "steps": 10},
    }
