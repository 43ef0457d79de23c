"""Evaluation: worst cases, vanishing gradients, and figures that are what their names say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.context import Inputs, MemoryContext, StoredDataset
from core.frozen import FrozenModel
from core.images import Images, Splits, save_dataset
from core.judging import Judge, build_attacks
from core.models import Classifier, load_model, save_model
from core.run import execute
from core.tensorfile import read_tensors
from core.threat import Ball
from sieve.specs import AttackRef, DatasetRef, EvaluateSpec, ModelRef, Threat
from tests.numerics.conftest import CONVNET, DIGITS


def pgd_ref(loss: str, restarts: int = 2, steps: int = 10) -> AttackRef:
    return AttackRef(name="pgd", options={"loss": loss, "steps": steps, "restarts": restarts, "relative_step": 0.2})


BOTH = (pgd_ref("cross_entropy"), pgd_ref("margin"))


def evaluation(folder: Path, path: Path, **fields: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Figures and flags of the model in a file."""
    values = {"dataset": DIGITS, "model": ModelRef(name="@m"), "attacks": BOTH} | fields
    datasets = values.pop("datasets", {})
    spec = EvaluateSpec(**values)
    result = execute(spec, Inputs(datasets, {"@m": path}), MemoryContext(folder))
    return dict(result.figures), read_tensors(result.outputs[0].path)[0]


@dataclass(frozen=True)
class Once:
    """Breaks an image in one try only, by showing another one: which try, the image's brightness says."""

    other: Tensor
    label: str = "once"
    restarts: int = 4

    def perturb(
        self, model: FrozenModel, labels: Tensor, ball: Ball, restart: int, generator: torch.Generator
    ) -> Tensor:
        del model, labels, generator
        mine = (ball.center.sum(dim=(1, 2, 3)) * 1000).long() % self.restarts == restart
        return torch.where(mine[:, None, None, None], self.other, ball.center)


def test_the_worst_try_of_each_image_counts_and_not_the_last(model: Classifier, digits: Splits) -> None:
    right = model(digits.test.batch(slice(None))).argmax(1) == digits.test.labels
    x, y = digits.test.batch(right), digits.test.labels[right]
    zero, one = (x[y == digit][0] for digit in (0, 1))
    judge = Judge(model, FrozenModel(model, "exact"), seed=0)
    threat = Threat(epsilons=(100.0,))
    flags = judge.attacked(x, y, threat, {"zeros": Once(zero), "ones": Once(one)}, (0,))
    # Showing a zero breaks all but the zeros, showing a one breaks the zeros, too.
    assert torch.equal(flags["robust/l2/100/zeros"], y == 0)
    assert not flags["robust/l2/100/ones"].any()


def test_more_tries_and_larger_balls_break_more(model_path: Path, tmp_path: Path) -> None:
    threats = (Threat(epsilons=(0.5, 0.25)), Threat(norm="linf", epsilons=(0.05, 0.1)))
    few = evaluation(tmp_path / "few", model_path, threats=threats, attacks=(pgd_ref("margin", restarts=1, steps=4),))
    many = evaluation(tmp_path / "many", model_path, threats=threats, attacks=(pgd_ref("margin", restarts=4, steps=4),))
    broken_later = 0
    for norm, small, large in (("l2", "0.25", "0.5"), ("linf", "0.05", "0.1")):
        for figures, flags in (few, many):
            inner, outer = (flags[f"robust/{norm}/{epsilon}/pgd margin"] for epsilon in (small, large))
            assert not (outer & ~inner).any(), "what a smaller ball breaks, a larger one breaks"
            assert not (inner & ~flags["standard"]).any(), "what is misread is not robust"
            assert figures["robust"][norm][large] == outer.double().mean().item()
        for epsilon in (small, large):
            name = f"robust/{norm}/{epsilon}/pgd margin"
            assert not (many[1][name] & ~few[1][name]).any(), "the first try is one of the many"
            broken_later += int((few[1][name] & ~many[1][name]).sum())
    assert broken_later > 0


def test_figures_are_means_over_flags(model_path: Path, digits: Splits, tmp_path: Path) -> None:
    figures, flags = evaluation(tmp_path, model_path, noise=(0.05, 0.3), threats=(Threat(epsilons=(0.5,)),))
    model = load_model(model_path)
    read = model(digits.test.batch(slice(None))).argmax(1)
    assert figures["images"] == 360
    assert figures["standard"] == (read == digits.test.labels).double().mean().item()
    assert figures["shifted"] == (read == (digits.test.labels + 1) % 10).double().mean().item()
    assert figures["noise"]["0.3"] < figures["noise"]["0.05"] <= 1
    assert figures["by_attack"]["l2"]["0.5"]["pgd cross_entropy"] >= figures["robust"]["l2"]["0.5"]
    assert figures["by_attack"]["l2"]["0.5"]["pgd margin"] == figures["robust"]["l2"]["0.5"]
    assert 0 < figures["robust"]["l2"]["0.5"] < figures["standard"]
    assert figures["zero_gradients"] == 0
    assert figures["readings"] == []
    probe = {name: flags.pop(name) for name in list(flags) if name.startswith("probe/")}
    assert all(len(flag) == 64 for flag in probe.values())
    kinds = {name: torch.int64 if name in {"label", "read"} else torch.bool for name in flags}
    assert all(len(flag) == 360 and flag.dtype == kinds[name] for name, flag in flags.items())


def test_logits_times_ten_thousand_change_nothing(model_path: Path, tmp_path: Path) -> None:
    model = load_model(model_path)
    with torch.no_grad():
        model.head.weight *= 1e4
        model.head.bias *= 1e4
    scaled = tmp_path / "scaled"
    save_model(scaled, model, CONVNET, (1, 8, 8), 10)
    threats = (Threat(epsilons=(0.25, 0.5)), Threat(norm="linf", epsilons=(0.05,)))
    attacks = (pgd_ref("cross_entropy", restarts=5, steps=20), pgd_ref("margin", restarts=5, steps=20))
    plain, _ = evaluation(tmp_path / "plain", model_path, threats=threats, attacks=attacks)
    sure, _ = evaluation(tmp_path / "sure", scaled, threats=threats, attacks=attacks)
    assert sure["standard"] == plain["standard"]
    for norm, epsilon in (("l2", "0.25"), ("l2", "0.5"), ("linf", "0.05")):
        assert sure["robust"][norm][epsilon] == pytest.approx(plain["robust"][norm][epsilon], abs=0.015)
        # The cross-entropy alone would have reported a robust model: its gradient is 0, and that is counted.
        assert sure["by_attack"][norm][epsilon]["pgd cross_entropy"] > plain["robust"][norm][epsilon] + 0.05
    assert plain["zero_gradients"] == 0
    assert sure["zero_gradients"] > 180


def test_readings_compare_with_the_stored_and_the_original_label(
    model_path: Path, digits: Splits, tmp_path: Path
) -> None:
    x, y = digits.train.batch(slice(300)), digits.train.labels[:300]
    stored = torch.where(torch.arange(300) < 100, (y + 1) % 10, y)
    save_dataset(tmp_path / "made", Images(x, stored, {"original_label": y}), digits.classes)
    save_dataset(tmp_path / "same", Images(x, y, {"original_label": y}), digits.classes)
    figures, _ = evaluation(
        tmp_path / "evaluation",
        model_path,
        threats=(),
        readings=(DatasetRef(name="@made"), DatasetRef(name="@same", limit_train=250)),
        datasets={name: StoredDataset(tmp_path / name[1:]) for name in ("@made", "@same")},
    )
    read = load_model(model_path)(x).argmax(1)
    made, same = figures["readings"]
    assert (made["dataset"], made["images"], made["images_where_changed"]) == ("@made", 300, 100)
    assert made["stored"] == pytest.approx((read == stored).double().mean().item())
    assert made["stored_where_changed"] == pytest.approx((read == stored)[:100].double().mean().item())
    assert same["images"] == 250
    assert same["stored"] > 0.95
    assert same["stored_where_changed"] is None


def test_the_same_attack_twice_is_told_apart() -> None:
    attacks = build_attacks([*BOTH, pgd_ref("margin", steps=20), pgd_ref("margin", steps=30)])
    assert list(attacks) == ["pgd cross_entropy", "pgd margin", "pgd margin #2", "pgd margin #3"]
