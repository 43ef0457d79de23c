"""A resumed job leaves the same bits as an undisturbed one: training, synthesis, evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints import load_checkpoint, save_checkpoint
from core.context import Checkpoint, Inputs, MemoryContext, Part, Result, StoredDataset
from core.errors import MixedArithmetic, Stopped
from core.run import execute
from core.tensorfile import read_tensors, write_tensors
from sieve.specs import (
    PGD,
    DatasetRef,
    EvaluateSpec,
    ModelRef,
    RandomTargetConstruction,
    RobustConstruction,
    ShardSpec,
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
STRONG = EvaluateSpec(
    dataset=DatasetRef(name="digits", limit_train=520, limit_test=270),
    model=MODEL,
    seed=3,
    threats=(Threat(epsilons=(0.5,)),),
    attacks=({"name": "strong", "options": {"steps": 10, "queries": 40}},),
    corruptions=(),
)
"""All four attacks of the ensemble; it takes seconds."""


@pytest.fixture(scope="module")
def inputs(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    models = {"@model": model_path}
    made = execute(JOBS["D_rand"], Inputs(models=models), MemoryContext(tmp_path_factory.mktemp("constructed")))
    return Inputs(datasets={"@constructed": StoredDataset(made.outputs[0].path)}, models=models)


def bits(result: Result) -> tuple[dict[str, Any], dict[str, bytes]]:
    figures = {name: value for name, value in result.figures.items() if name != "seconds"}
    return figures, {output.name: output.path.read_bytes() for output in result.outputs}


@pytest.mark.parametrize("spec", [*JOBS.values(), STRONG], ids=[*JOBS, "strong evaluation"])
def test_a_resumed_job_gives_the_bits_of_an_undisturbed_one(spec: Spec, inputs: Inputs, tmp_path: Path) -> None:
    undisturbed = bits(execute(spec, inputs, MemoryContext(tmp_path / "undisturbed")))
    # Stopped at every safe point but the last, each time in a new context with nothing but the checkpoint's file.
    chain: list[Checkpoint] = []
    stops = 0
    while True:
        context = MemoryContext(tmp_path / f"attempt {stops}", chain=chain, stop_after=1)
        try:
            result = execute(spec, inputs, context)
        except Stopped:
            for place, checkpoint in enumerate(context.checkpoints):
                save_checkpoint(tmp_path / f"checkpoint {place}", checkpoint)
            chain = [load_checkpoint(tmp_path / f"checkpoint {place}") for place in range(len(context.checkpoints))]
            stops += 1
            assert chain[-1].step == stops, "one unit of work an attempt"
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


LARGE = [name for name, spec in JOBS.items() if isinstance(spec, SynthesizeSpec | EvaluateSpec)]


@pytest.mark.parametrize("of", [2, 3, 5])
@pytest.mark.parametrize("name", LARGE)
def test_shares_put_together_give_the_bits_of_the_undivided_job(
    name: str, of: int, inputs: Inputs, tmp_path: Path
) -> None:
    """Of three blocks of images to train on and two to test on: with five, some shares have nothing to do."""
    spec = JOBS[name]
    assert isinstance(spec, SynthesizeSpec | EvaluateSpec)
    undivided = bits(execute(spec, inputs, MemoryContext(tmp_path / "undivided")))
    parts = []
    for index in range(of):
        share = execute(ShardSpec(job=spec, index=index, of=of), inputs, MemoryContext(tmp_path / f"share {index}"))
        parts.append(Part(share.outputs[0].path, share.figures))
    context = MemoryContext(tmp_path / "together")
    together = execute(spec, replace(inputs, parts=parts), context)
    assert bits(together) == undivided
    assert context.seen == [], "no block was done again"
    assert together.figures["seconds"] > sum(part.figures["seconds"] for part in parts)


@pytest.mark.parametrize("name", LARGE)
def test_a_checkpoint_holds_only_what_is_new(name: str, inputs: Inputs, tmp_path: Path) -> None:
    context = MemoryContext(tmp_path)
    result = execute(JOBS[name], inputs, context)
    chain = context.checkpoints
    assert [checkpoint.continues for checkpoint in chain] == [None, *(checkpoint.step for checkpoint in chain[:-1])]
    synthesis = isinstance(JOBS[name], SynthesizeSpec)
    first = "images" if synthesis else "standard"
    rows = [len(checkpoint.tensors[first]) for checkpoint in chain if first in checkpoint.tensors]
    assert rows == ([256, 256, 8] if synthesis else [256, 44])
    assert sum(rows) == result.figures["images"]


def test_checkpoints_of_another_count_are_not_used(inputs: Inputs, tmp_path: Path) -> None:
    strange = Checkpoint(1, {"images": torch.zeros(256, 1, 8, 8)}, {"steps": 7})
    context = MemoryContext(tmp_path / "strange", chain=[strange])
    result = execute(JOBS["D_rand"], inputs, context)
    assert bits(result) == bits(execute(JOBS["D_rand"], inputs, MemoryContext(tmp_path / "none")))
    assert context.logged == ["the checkpoint of step 1 counts in other steps: not used"]


def test_shares_of_another_arithmetic_are_refused(inputs: Inputs, tmp_path: Path) -> None:
    spec = JOBS["evaluation"]
    parts = []
    for index in range(2):
        context = MemoryContext(tmp_path / f"share {index}")
        share = execute(ShardSpec(job=spec, index=index, of=2), inputs, context)
        flags, header = read_tensors(share.outputs[0].path)
        write_tensors(share.outputs[0].path, flags | {"reduced": flags["reduced"] ^ bool(index)}, header)
        parts.append(Part(share.outputs[0].path, share.figures))
    with pytest.raises(MixedArithmetic):
        execute(spec, replace(inputs, parts=parts), MemoryContext(tmp_path / "together"))
