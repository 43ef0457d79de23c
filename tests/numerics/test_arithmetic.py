"""What judges computes in fp32, not in TF32 as torch would have it on a GPU; only a fast training may."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.context import Inputs, MemoryContext
from core.models import Classifier
from core.run import execute
from sieve.specs import PGD, DatasetRef, EvaluateSpec, ModelRef, Precision, Spec, Threat, TrainSpec
from tests.numerics.conftest import CONVNET

SOME = DatasetRef(name="digits", limit_train=200, limit_test=40)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[bool, set[bool]]:
    """By whether a classifier was training: was TF32 allowed when it was asked?"""
    asked: dict[bool, set[bool]] = {True: set(), False: set()}
    forward = Classifier.forward

    def noted(self: Classifier, x: Tensor) -> Tensor:
        asked[self.training].add(torch.backends.cudnn.allow_tf32)
        return forward(self, x)

    monkeypatch.setattr(Classifier, "forward", noted)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    return asked


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_only_the_gradients_of_a_fast_training_may_be_rounded(
    precision: Precision, seen: dict[bool, set[bool]], model_path: Path, tmp_path: Path
) -> None:
    adversary = PGD(steps=1)
    training = TrainSpec(dataset=SOME, architecture=CONVNET, epochs=1, adversary=adversary, precision=precision)
    threats = (Threat(epsilons=(0.5,)),)
    evaluation = EvaluateSpec(dataset=SOME, model=ModelRef(name="@m"), threats=threats, precision=precision)
    jobs: list[Spec] = [training, evaluation]
    for number, job in enumerate(jobs):
        execute(job, Inputs(models={"@m": model_path}), MemoryContext(tmp_path / str(number)))
    assert seen == {True: {precision == "fast"}, False: {False}}
    assert torch.backends.cudnn.allow_tf32, "as it was before"


def test_it_is_put_back_after_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    spec = EvaluateSpec(dataset=SOME, model=ModelRef(name="@m"))
    with pytest.raises(KeyError):
        execute(spec, Inputs(), MemoryContext(tmp_path))
    assert torch.backends.cudnn.allow_tf32


def test_algorithms_are_tried_out_where_batches_keep_their_size(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation drops broken images, so its batches are of any size."""
    forward, seen = Classifier.forward, set()

    def noted(self: Classifier, x: Tensor) -> Tensor:
        seen.add(torch.backends.cudnn.benchmark)
        return forward(self, x)

    monkeypatch.setattr(Classifier, "forward", noted)
    training = TrainSpec(dataset=SOME, architecture=CONVNET, epochs=1)
    execute(training, Inputs(), MemoryContext(tmp_path / "training"))
    assert seen == {True}
    seen.clear()
    evaluation = EvaluateSpec(dataset=SOME, model=ModelRef(name="@m"), threats=())
    execute(evaluation, Inputs(models={"@m": model_path}), MemoryContext(tmp_path / "evaluation"))
    assert seen == {False}
    assert not torch.backends.cudnn.benchmark, "as it was before"
