"""Memory runs out, and a job goes on with half as many images at once: flagged, and with the bits of one planned so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.cards import ARCHITECTURES
from core.checkpoints import load_checkpoint, save_checkpoint
from core.context import Context, Inputs, MemoryContext, Result
from core.errors import Stopped
from core.evaluation import evaluate
from core.memory import AtOnce, parts, ran_out
from core.models import load_model, save_model
from core.synthesis import synthesize
from core.training import train
from sieve.specs import (
    PGD,
    ArchitectureRef,
    DatasetRef,
    DeterministicTargetConstruction,
    EvaluateSpec,
    ModelRef,
    RandomTargetConstruction,
    RobustConstruction,
    SynthesizeSpec,
    Threat,
    TrainSpec,
)
from tests.plugins import cramped, perceptron

SOME = DatasetRef(name="digits", limit_train=520, limit_test=300)
MODEL = ModelRef(name="@m")
ADVERSARY = PGD(epsilon=1.0, steps=2, random_start=True)
JOBS: dict[str, Any] = {
    "D_R": (synthesize, SynthesizeSpec(dataset=SOME, model=MODEL, construction=RobustConstruction(steps=3))),
    "D_rand": (synthesize, SynthesizeSpec(dataset=SOME, model=MODEL, construction=RandomTargetConstruction(steps=3))),
    "D_det": (
        synthesize,
        SynthesizeSpec(dataset=SOME, model=MODEL, construction=DeterministicTargetConstruction(steps=3)),
    ),
    "evaluation": (
        evaluate,
        EvaluateSpec(
            dataset=SOME,
            model=MODEL,
            threats=(Threat(epsilons=(0.25, 0.5)),),
            attacks=({"name": "pgd", "options": {"loss": "margin", "steps": 3, "restarts": 2}},),
            readings=(SOME,),
            precision="fast",
        ),
    ),
}


@pytest.fixture(autouse=True)
def _cramped(monkeypatch: pytest.MonkeyPatch) -> None:
    ARCHITECTURES.names()
    monkeypatch.setitem(ARCHITECTURES._entries, "cramped", cramped.ENTRY)


def training(images: int, **fields: Any) -> TrainSpec:
    cramped = ArchitectureRef(name="cramped", options={"images": images})
    return TrainSpec(dataset=SOME, architecture=cramped, epochs=2, batch_size=64, adversary=ADVERSARY, **fields)


def sources(folder: Path) -> dict[int, Inputs]:
    """The same trained weights, by how many images they take at once."""
    made = train(training(1000), Inputs(), MemoryContext(folder / "trained")).outputs[0].path
    inputs = {}
    for images in (1000, 100):
        path = folder / f"source {images}"
        reference = ArchitectureRef(name="cramped", options={"images": images})
        save_model(path, load_model(made), reference, (1, 8, 8), 10)
        inputs[images] = Inputs(models={"@m": path})
    return inputs


def bits(result: Result) -> tuple[dict[str, Any], dict[str, bytes]]:
    figures = {key: value for key, value in result.figures.items() if key not in ("seconds", "at_once", "cautions")}
    return figures, {output.name: output.path.read_bytes() for output in result.outputs}


@pytest.mark.parametrize("name", JOBS)
def test_halved_it_gives_the_bits_of_a_job_that_was_planned_so(name: str, tmp_path: Path) -> None:
    run, spec = JOBS[name]
    inputs = sources(tmp_path)
    context = MemoryContext(tmp_path / "halved")
    halved = run(spec, inputs[100], context)
    planned = run(spec, inputs[1000], MemoryContext(tmp_path / "planned"), planned=64)
    assert bits(halved) == bits(planned)
    assert halved.figures["at_once"] == {"planned": 256, "used": 64}
    assert "Memory ran out: 64 images" in halved.figures["cautions"][0]
    ran_out = [line for line in context.logged if "memory" in line]
    assert ran_out == [f"memory ran out: going on with {images} images at once" for images in (128, 64)]
    assert planned.figures["at_once"] == {"planned": 64, "used": 64}
    assert not [said for said in planned.figures["cautions"] if "Memory" in said]


@pytest.mark.parametrize("name", ["D_R", "evaluation"])
def test_resumed_after_it_was_halved_it_stays_so(name: str, tmp_path: Path) -> None:
    run, spec = JOBS[name]
    inputs = sources(tmp_path)[100]
    undisturbed = run(spec, inputs, MemoryContext(tmp_path / "undisturbed"))
    stopped = MemoryContext(tmp_path / "stopped", stop_after=1)
    with pytest.raises(Stopped):
        run(spec, inputs, stopped)
    (checkpoint,) = stopped.checkpoints
    save_checkpoint(tmp_path / "checkpoint", checkpoint)
    resumed = MemoryContext(tmp_path / "resumed", chain=[load_checkpoint(tmp_path / "checkpoint")])
    result = run(spec, inputs, resumed)
    assert bits(result) == bits(undisturbed)
    assert result.figures["cautions"] == undisturbed.figures["cautions"] != []
    assert not any("memory" in line for line in resumed.logged), "it did not try 256 again"


def weights(result: Result) -> dict[str, torch.Tensor]:
    return load_model(result.outputs[0].path).state_dict()


@pytest.mark.parametrize("augmented", [False, True])
def test_a_training_accumulates_and_gives_the_bits_of_one_that_was_planned_so(augmented: bool, tmp_path: Path) -> None:
    fields = {"flip": True, "crop_padding": 1} if augmented else {}
    context = MemoryContext(tmp_path / "halved")
    halved = train(training(20, **fields), Inputs(), context)
    planned = train(training(1000, **fields), Inputs(), MemoryContext(tmp_path / "planned"), planned=16)
    whole = train(training(1000, **fields), Inputs(), MemoryContext(tmp_path / "whole"))
    other = weights(planned)
    assert all(torch.equal(tensor, other[name]) for name, tensor in weights(halved).items())
    assert not torch.equal(weights(whole)["head.weight"], other["head.weight"])
    assert halved.figures["at_once"] == {"planned": 64, "used": 16}
    assert "parts of at most 16 images" in halved.figures["cautions"][0]
    assert not any("Memory" in said for said in whole.figures["cautions"])
    # Both the batches and the blocks of the validation were too large.
    assert context.logged == [
        f"memory ran out: going on with {images} images at once" for images in (32, 16, 128, 64, 32, 16)
    ]


def test_a_training_resumed_after_it_was_halved_goes_on_so(tmp_path: Path) -> None:
    undisturbed = train(training(20), Inputs(), MemoryContext(tmp_path / "undisturbed"))
    stopped = MemoryContext(tmp_path / "stopped", stop_after=1)
    with pytest.raises(Stopped):
        train(training(20), Inputs(), stopped)
    resumed = MemoryContext(tmp_path / "resumed", chain=stopped.checkpoints)
    result = train(training(20), Inputs(), resumed)
    assert resumed.logged == []
    assert bits(result) == bits(undisturbed)
    assert result.figures["cautions"] == undisturbed.figures["cautions"] != []


def test_without_batch_normalisation_accumulated_gradients_are_the_batchs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(ARCHITECTURES._entries, "perceptron", perceptron.ENTRY)
    spec = TrainSpec(dataset=SOME, architecture=ArchitectureRef(name="perceptron"), epochs=1, batch_size=60)
    whole, accumulated = (
        weights(train(spec, Inputs(), MemoryContext(tmp_path / str(images)), planned=images)) for images in (60, 7)
    )
    for name, tensor in whole.items():
        torch.testing.assert_close(accumulated[name], tensor, rtol=1e-4, atol=1e-5)


def test_one_image_that_is_too_much_is_an_error_and_so_is_everything_else(tmp_path: Path) -> None:
    context: Context = MemoryContext(tmp_path)
    tried: list[int] = []

    def never(images: int) -> None:
        tried.append(images)
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        AtOnce(9).fitting(never, context)
    assert tried == [9, 4, 2, 1]

    def broken(images: int) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        AtOnce(9).fitting(broken, context)


def test_what_torch_says_when_the_cpu_has_no_memory_left_is_understood() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60)
    assert ran_out(raised.value)
    assert ran_out(MemoryError())


@pytest.mark.parametrize(("n", "at_once", "sizes"), [(256, 128, [128, 128]), (65, 32, [21, 22, 22]), (3, 8, [3])])
def test_parts_are_few_and_equal(n: int, at_once: int, sizes: list[int]) -> None:
    found = parts(slice(100, 100 + n), at_once)
    assert [part.stop - part.start for part in found] == sizes
    assert [found[0].start, *[part.stop for part in found]] == [100, *[part.start for part in found[1:]], 100 + n]
