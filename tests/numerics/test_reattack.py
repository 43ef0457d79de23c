"""A fast attack that is too weak is found out, by attacking a sample again in fp32."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core import frozen, reattack
from core.attacks.pgd import PGDOptions
from core.cards import ATTACKS, AttackEntry
from core.context import Inputs, MemoryContext
from core.frozen import FrozenModel
from core.images import open_dataset
from core.models import load_model
from core.pgd import PGDAttack
from core.run import execute
from core.tensorfile import read_tensors
from core.threat import Ball
from sieve.specs import AttackRef, DatasetRef, EvaluateSpec, ModelRef, Threat
from tests.numerics.conftest import DIGITS

NAMES = ("robust/l2/0.25", "robust/l2/0.5")


@dataclass(frozen=True)
class Lame:
    """PGD, but of nothing in reduced precision."""

    pgd: PGDAttack
    label: str = "lame"
    restarts: int = 1

    def perturb(
        self, model: FrozenModel, labels: Tensor, ball: Ball, restart: int, generator: torch.Generator
    ) -> Tensor:
        return ball.center if model.reduced else self.pgd.perturb(model, labels, ball, restart, generator)


LAME = AttackEntry(
    name="lame",
    summary="fails in reduced precision",
    options=PGDOptions,
    norms=frozenset({"l2"}),
    build=lambda options: Lame(PGDAttack(options.loss, options.steps, options.relative_step)),
)


@pytest.fixture(autouse=True)
def _reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 also where the processor has no instructions for it: slow there, and the same arithmetic."""
    monkeypatch.setattr(frozen, "_computes_in_bfloat16", lambda _: True)


def evaluation(folder: Path, path: Path, **fields: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    values: dict[str, Any] = {
        "dataset": DIGITS,
        "model": ModelRef(name="@m"),
        "threats": (Threat(epsilons=(0.25, 0.5)),),
        "attacks": (AttackRef(name="pgd", options={"loss": "margin", "steps": 10, "restarts": 2}),),
        "precision": "fast",
    }
    result = execute(EvaluateSpec(**values | fields), Inputs(models={"@m": path}), MemoryContext(folder))
    return dict(result.figures), read_tensors(result.outputs[0].path)[0]


def test_of_few_images_all_are_attacked_again_as_an_exact_evaluation_does(model_path: Path, tmp_path: Path) -> None:
    fast, flags = evaluation(tmp_path / "fast", model_path)
    exact, plain = evaluation(tmp_path / "exact", model_path, precision="exact")
    assert torch.equal(flags["again/index"], torch.arange(360))
    for name in NAMES:
        again = flags[f"again/{name}/pgd margin"]
        assert torch.equal(again, plain[f"{name}/pgd margin"]), "the same draws, too"
        found = fast["reattack"]["l2"][name.rpartition("/")[2]]
        assert found["images"] == 360
        assert found["exact"] == again.double().mean().item()
        assert found["fast"] == flags[f"{name}/pgd margin"].double().mean().item()
        assert found["weaker_by"] == pytest.approx(found["fast"] - found["exact"])
        assert abs(found["weaker_by"]) < 0.01
    assert exact["reattack"] is None
    assert not [said for said in exact["cautions"] if "fast" in said]
    assert not any(name.startswith("again") for name in plain)


def test_of_many_images_a_sample_is_with_the_same_draws(
    monkeypatch: pytest.MonkeyPatch, model_path: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(reattack, "SAMPLE", 256)
    figures, flags = evaluation(tmp_path / "sampled", model_path)
    index = flags["again/index"]
    assert torch.equal(index, index.unique(sorted=True))
    assert len(index) == 256
    name = "robust/l2/0.5/pgd margin"
    assert figures["reattack"]["l2"]["0.5"]["fast"] == flags[name][index].double().mean().item()
    # An arithmetic that is called reduced and is not breaks the very same images, in spite of the random starts.
    monkeypatch.setattr(frozen, "_computes_in_bfloat16", lambda _: False)
    monkeypatch.setattr(FrozenModel, "reduced", True)
    _, flags = evaluation(tmp_path / "same", model_path)
    assert torch.equal(flags["again/" + name], flags[name][index])
    # The sample comes first in the attack, and all images are where they were in the dataset.
    plain = load_model(model_path)
    test = open_dataset(DIGITS, Inputs(), tmp_path).test
    assert torch.equal(flags["standard"], plain(test.batch(slice(None))).argmax(1) == test.labels)


def test_a_weak_fast_attack_is_named_with_its_number(
    monkeypatch: pytest.MonkeyPatch, model_path: Path, tmp_path: Path
) -> None:
    ATTACKS.names()
    monkeypatch.setitem(ATTACKS._entries, "lame", LAME)
    figures, _ = evaluation(tmp_path, model_path, attacks=(AttackRef(name="lame", options={"steps": 10}),))
    found = figures["reattack"]["l2"]["0.5"]
    assert found["fast"] == figures["standard"] == figures["robust"]["l2"]["0.5"], "it broke nothing"
    assert found["weaker_by"] > 0.3
    assert found["broken_by_exact_alone"] == round(360 * found["weaker_by"])
    assert found["broken_by_fast_alone"] == 0
    small, large, *_ = figures["cautions"]
    assert small.startswith("Within l2 0.25 the fast attack was weaker")
    assert f"by {100 * found['weaker_by']:.1f} points on 360 images" in large


def test_on_a_device_without_bfloat16_there_is_nothing_to_check(
    monkeypatch: pytest.MonkeyPatch, model_path: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(frozen, "_computes_in_bfloat16", lambda _: False)
    figures, _ = evaluation(tmp_path, model_path, dataset=DatasetRef(name="digits", limit_test=40))
    assert figures["reattack"] is None


def test_flags_count_image_by_image() -> None:
    fast = torch.tensor([1, 1, 1, 0, 1, 0, 0, 0]).bool()
    exact = torch.tensor([1, 0, 0, 1, 1, 0, 0, 0]).bool()
    found = reattack.compared(fast, exact)
    differences = (fast.double() - exact.double()).tolist()
    error = (sum((d - 1 / 8) ** 2 for d in differences) / 8) ** 0.5 / 8**0.5
    assert found == {
        "images": 8,
        "fast": 0.5,
        "exact": 0.375,
        "weaker_by": 0.125,
        "standard_error": pytest.approx(error),
        "broken_by_exact_alone": 2,
        "broken_by_fast_alone": 1,
    }


@pytest.mark.parametrize(("broken", "spoken_of"), [(1, False), (2, True)])
def test_of_a_whole_sample_one_image_gives_no_alarm_and_two_do(broken: int, spoken_of: bool) -> None:
    fast = torch.ones(reattack.SAMPLE, dtype=torch.bool)
    found = reattack.compared(fast, torch.arange(reattack.SAMPLE) >= broken)
    assert (reattack.caution("l2", "0.5", found) is not None) == spoken_of
