"""The constructions: starts, targets, labels, balls, and what is stored about each image."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.constructions import targets
from core.context import Inputs, MemoryContext, Result
from core.images import Images, Splits, load_dataset
from core.models import Classifier
from core.run import execute
from core.seeding import generator
from sieve.specs import (
    Construction,
    DatasetRef,
    DeterministicTargetConstruction,
    ModelRef,
    RandomTargetConstruction,
    RobustConstruction,
    SynthesizeSpec,
)

SOME = DatasetRef(name="digits", limit_train=400)


def construct(how: Construction, model_path: Path, folder: Path, seed: int = 0) -> tuple[Images, Result]:
    spec = SynthesizeSpec(construction=how, dataset=SOME, model=ModelRef(name="@m"), seed=seed)
    result = execute(spec, Inputs(models={"@m": model_path}), MemoryContext(folder))
    assert [output.role for output in result.outputs] == ["dataset", "picture"]
    return load_dataset(result.outputs[0].path).train, result


@pytest.fixture
def sources(digits: Splits) -> Images:
    """The images x in the order of `source_index`."""
    chosen = torch.randperm(len(digits.train), generator=generator(0, "limit"))[:400]
    return digits.train.select(chosen)


def length(delta: Tensor) -> Tensor:
    return delta.double().flatten(1).norm(dim=1)


def test_robust_matches_features_from_another_image(
    model: Classifier, model_path: Path, sources: Images, tmp_path: Path
) -> None:
    made, result = construct(RobustConstruction(steps=60, step_size=0.2, schedule="linear"), model_path, tmp_path)
    x = sources.batch(made.columns["source_index"])
    start = sources.batch(made.columns["start_index"])
    z = made.pixels
    assert torch.equal(made.columns["source_index"], torch.arange(400))
    assert (made.columns["start_index"] != made.columns["source_index"]).all(), "never from x itself"
    assert len(made.columns["start_index"].unique()) > 200
    assert torch.equal(made.labels, sources.labels)
    assert torch.equal(made.columns["original_label"], sources.labels)
    assert z.dtype == torch.float32
    assert z.min() >= 0
    assert z.max() <= 1

    goal = model.features(x).detach()
    before, after = (length(model.features(at).detach() - goal) / length(goal) for at in (start, z))
    assert after.mean() < 0.2 * before.mean()
    torch.testing.assert_close(made.columns["feature_distance"].double(), after, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(made.columns["norm"].double(), length(z - start), rtol=1e-5, atol=1e-6)
    assert torch.equal(made.columns["nearer_to_start"].bool(), length(z - start) < length(z - x))
    reads = (model(z).argmax(1) == made.labels).double().mean().item()
    assert reads > 0.9
    assert result.figures["source_reads_label"] == reads
    assert result.figures["nearer_to_start"] == made.columns["nearer_to_start"].double().mean().item()
    assert sum(result.figures["feature_distance_histogram"]["counts"]) == 400


@pytest.mark.parametrize(
    "how",
    [
        RandomTargetConstruction(epsilon=1.0, steps=20),
        DeterministicTargetConstruction(epsilon=1.0, steps=20),
        RandomTargetConstruction(norm="linf", epsilon=0.2, steps=20),
    ],
    ids=["D_rand", "D_det", "linf"],
)
def test_targeted_stays_near_the_image_and_is_labelled_as_the_target(
    how: RandomTargetConstruction | DeterministicTargetConstruction,
    model: Classifier,
    model_path: Path,
    sources: Images,
    tmp_path: Path,
) -> None:
    made, result = construct(how, model_path, tmp_path)
    assert torch.equal(made.columns["source_index"], torch.arange(400))
    assert torch.equal(made.labels, made.columns["target"])
    assert torch.equal(made.columns["original_label"], sources.labels)
    delta = made.pixels.double() - sources.batch(slice(None)).double()
    norm = delta.flatten(1).abs().amax(1) if how.norm == "linf" else length(delta)
    assert (norm <= how.epsilon * (1 + 1e-6)).all()
    torch.testing.assert_close(made.columns["norm"].double(), norm, rtol=1e-4, atol=1e-6)
    assert made.pixels.min() >= 0
    assert made.pixels.max() <= 1
    success = model(made.pixels).argmax(1) == made.labels
    assert torch.equal(made.columns["success"].bool(), success)
    assert result.figures["success"] == success.double().mean().item() > 0.8
    changed = made.labels != sources.labels
    assert result.figures["success_where_changed"] == success[changed].double().mean().item()


def test_an_image_is_kept_and_labelled_as_the_target_where_the_attack_failed(
    model_path: Path, sources: Images, tmp_path: Path
) -> None:
    made, result = construct(DeterministicTargetConstruction(epsilon=0.01, steps=2), model_path, tmp_path)
    assert result.figures["success"] < 0.1
    assert torch.equal(made.labels, (sources.labels + 1) % 10)


def test_random_targets_are_uniform_and_include_the_true_class() -> None:
    labels = torch.arange(10).repeat_interleave(3000)
    drawn = targets(RandomTargetConstruction(), labels, 10, generator(0, "target", 0))
    counts = torch.zeros(10, 10).index_put_((labels, drawn), torch.ones(len(labels)), accumulate=True)
    chi_squared = ((counts - 300) ** 2 / 300).sum().item()
    assert 45 < chi_squared < 150, "90 degrees of freedom: every class as often for every true one, itself included"


def test_the_deterministic_target_is_the_next_class() -> None:
    labels = torch.tensor([0, 1, 8, 9])
    drawn = targets(DeterministicTargetConstruction(), labels, 10, generator(0, "target", 0))
    assert drawn.tolist() == [1, 2, 9, 0]
