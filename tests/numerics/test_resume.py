"""A resumed job leaves the same bits as an undisturbed one: training, synthesis, evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.checkpoints import load_checkpoint, save_checkpoint
from core.context import Checkpoint, Inputs, MemoryContext, Result, StoredDataset
from core.errors import Stopped
from core.run import execute
from sieve.specs import (
    PGD,
    DatasetRef,
    EvaluateSpec,
    ModelRef,
    RandomTargetConstruction,
    RobustConstruction,
    Spec,
    SynthesizeSpec,
    Threat,
    TrainSpec,
)
from tests.numerics.conftest import CONVNET

SOME = DatasetRef(name="digits", limit_train=520, limit_test=300)
MODEL = ModelRef(name="@model")
TRAIN = {"dataset": SOME, "architecture": CONVNET, "epochs": 4, "seed": 3}
ATTACKS = tuple(
    {"name": "pgd", "options": {"loss": loss, "steps": 4, "restarts": 2}} for loss in ("cross_entropy", "margin")
)

JOBS: dict[str, Spec] = {
    "standard": TrainSpec(**TRAIN, flip=True, crop_padding=1),
    "adversarial": TrainSpec(**TRAIN, adversary=PGD(epsilon=1.0, steps=3, random_start=True)),
    "averaged": TrainSpec(**TRAIN, ema_decay=0.9, select="last", momentum=0.0),
    "D_R": SynthesizeSpec(dataset=SOME, model=MODEL, seed=3, construction=RobustConstruction(steps=5)),
    "D_R, fast": SynthesizeSpec(
        dataset=SOME, model=MODEL, seed=3, construction=RobustConstruction(recipe="fast", steps=5)
    ),
    "D_rand": SynthesizeSpec(dataset=SOME, model=MODEL, seed=3, construction=RandomTargetConstruction(steps=5)),
    "evaluation": EvaluateSpec(
        dataset=SOME,
        model=MODEL,
        seed=3,
        threats=(Threat(epsilons=(0.25, 0.5)), Threat(norm="linf", epsilons=(0.05,))),
        attacks=ATTACKS,
        readings=(DatasetRef(name="@constructed"),),
    ),
    "fast evaluation": EvaluateSpec(
        dataset=SOME, model=MODEL, seed=3, threats=(Threat(epsilons=(0.5,)),), attacks=ATTACKS, precision="fast"
    ),
}


@pytest.fixture(scope="module")
def inputs(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    models = {"@model": model_path}
    made = execute(JOBS["D_rand"], Inputs(models=models), MemoryContext(tmp_path_factory.mktemp("constructed")))
    return Inputs(datasets={"@constructed": StoredDataset(made.outputs[0].path)}, models=models)


def bits(result: Result) -> tuple[dict[str, Any], dict[str, bytes]]:
    figures = {name: value for name, value in result.figures.items() if name != "seconds"}
    return figures, {output.name: output.path.read_bytes() for output in result.outputs}


@pytest.mark.parametrize("name", JOBS)
def test_a_resumed_job_gives_the_bits_of_an_undisturbed_one(name: str, inputs: Inputs, tmp_path: Path) -> None:
    undisturbed = bits(execute(JOBS[name], inputs, MemoryContext(tmp_path / "undisturbed")))
    # Stopped at every safe point but the last, each time in a new context with nothing but the checkpoint's file.
    checkpoint: Checkpoint | None = None
    stops = 0
    while True:
        context = MemoryContext(tmp_path / f"attempt {stops}", checkpoint=checkpoint, stop_after=1)
        try:
            result = execute(JOBS[name], inputs, context)
        except Stopped:
            assert context.checkpoint is not None
            save_checkpoint(tmp_path / "checkpoint", context.checkpoint)
            checkpoint = load_checkpoint(tmp_path / "checkpoint")
            stops += 1
            assert checkpoint.step == stops, "one unit of work an attempt"
        else:
            break
    assert stops >= 3
    assert bits(result) == undisturbed


@pytest.mark.parametrize("name", JOBS)
def test_another_seed_gives_other_bits(name: str, inputs: Inputs, tmp_path: Path) -> None:
    one = bits(execute(JOBS[name], inputs, MemoryContext(tmp_path / "one")))
    other = bits(execute(JOBS[name].model_copy(update={"seed": 4}), inputs, MemoryContext(tmp_path / "other")))
    first = next(iter(one[1]))
    assert one[1][first] != other[1][first]
