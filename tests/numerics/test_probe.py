"""Linear probes: certificates hold under attack, and what is fitted is what was asked for."""

from __future__ import annotations

from pathlib import Path

import torch

from core.context import Inputs, MemoryContext
from core.images import Splits
from core.probe import certified, robust_linear
from core.run import execute
from sieve.specs import DatasetRef, LinearFeatures, ModelRef, PenultimateFeatures, ProbeSpec

DIGITS = DatasetRef(name="digits")
HOW = LinearFeatures(epsilon=0.5, steps=300)


def test_no_perturbation_changes_a_certified_reading(digits: Splits) -> None:
    weight, bias = robust_linear(digits.train, 10, HOW, torch.device("cpu"))
    x, y = digits.test.batch(slice(None)).flatten(1), digits.test.labels
    read = (x @ weight.T + bias).argmax(1)
    found = certified(weight, bias, digits.test, 10, HOW.epsilon)
    kept = torch.ones_like(read, dtype=torch.bool)
    for rival in range(10):  # the worst perturbation towards each rival is known for a linear model
        direction = weight[rival] - weight[read]
        delta = HOW.epsilon * direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-12)
        kept &= ((x + delta) @ weight.T + bias).argmax(1) == read
    # A model keeps its reading exactly where no worst perturbation changes it: no more, no less.
    assert found["certified_constant"] == kept.double().mean().item()
    assert found["certified_robust"] == (kept & (read == y)).double().mean().item()
    assert found["certified_robust"] > 0.5, "the training had met the adversary"


def test_training_against_the_worst_perturbation_makes_more_of_them_harmless(digits: Splits) -> None:
    plain = robust_linear(digits.train, 10, LinearFeatures(epsilon=0, steps=300), torch.device("cpu"))
    robust = robust_linear(digits.train, 10, HOW, torch.device("cpu"))
    constant = [certified(*one, digits.test, 10, 0.5)["certified_robust"] for one in (plain, robust)]
    assert constant[1] > constant[0] + 0.02


def test_robust_usefulness_is_met_by_the_worst_perturbation(digits: Splits) -> None:
    weight, bias = robust_linear(digits.train, 10, HOW, torch.device("cpu"))
    found = certified(weight, bias, digits.test, 10, HOW.epsilon)
    x, y = digits.test.batch(slice(None)).flatten(1), digits.test.labels
    feature = x @ weight[3] + bias[3]
    signs = torch.where(y == 3, 1.0, -1.0)
    share = torch.where(y == 3, 0.5 / (y == 3).sum(), 0.5 / (y != 3).sum())  # classes weigh alike
    worst = (x - HOW.epsilon * signs[:, None] * weight[3] / weight[3].norm()) @ weight[3] + bias[3] - feature.mean()
    assert abs(float((share * signs * worst / feature.std()).sum()) - found["robust_usefulness"][3]) < 1e-4


def test_labels_are_learnt_from_features_and_not_when_permuted(model_path: Path, tmp_path: Path) -> None:
    models = Inputs(models={"@m": model_path})
    features = PenultimateFeatures(model=ModelRef(name="@m"))
    found = execute(ProbeSpec(dataset=DIGITS, features=features), models, MemoryContext(tmp_path)).figures
    shuffled = ProbeSpec(dataset=DIGITS, features=features, permute_labels=True)
    permuted = execute(shuffled, models, MemoryContext(tmp_path)).figures
    assert found["standard"] > 0.93
    assert (found["features"], found["images"], found["train_images"]) == (32, 360, 1437)
    assert permuted["standard"] < 0.25
