"""The constructions: starts, targets, labels, balls, and what is stored about each image."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.constructions import targets
from core.context import Inputs, MemoryContext, Result
from core.images import Images, Splits, load_dataset, open_dataset
from core.models import Classifier, load_model
from core.run import execute
from core.seeding import generator
from sieve.specs import (
    ArchitectureRef,
    Construction,
    DatasetRef,
    DeterministicTargetConstruction,
    ErrorsConstruction,
    ModelRef,
    RandomTargetConstruction,
    RobustConstruction,
    SynthesizeSpec,
    TrainSpec,
    UntransferableConstruction,
)
from tests.numerics.conftest import CONVNET

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


@pytest.fixture(scope="session")
def other_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with weights of its own."""
    architecture = ArchitectureRef(name="convnet", options={"widths": (8, 16, 32), "strides": (1, 2, 1)})
    spec = TrainSpec(dataset=DatasetRef(name="digits"), architecture=architecture, epochs=6, seed=9)
    return execute(spec, Inputs(), MemoryContext(tmp_path_factory.mktemp("other"))).outputs[0].path


@pytest.mark.parametrize("target", ["next", "random"])
def test_untransferable_perturbations_fool_the_source_and_spare_the_ensemble(
    model_path: Path, other_path: Path, tmp_path: Path, target: str
) -> None:
    ball = {"epsilon": 1.0, "steps": 40}
    models = Inputs(models={"@m": model_path, "@other": other_path})
    figures = {}
    for name, how in {
        "alone": DeterministicTargetConstruction.model_validate(ball),
        "spared": UntransferableConstruction.model_validate(ball | {"ensemble": ["@other"], "target": target}),
    }.items():
        spec = SynthesizeSpec(construction=how, dataset=SOME, model=ModelRef(name="@m"))
        result = execute(spec, models, MemoryContext(tmp_path / name))
        made = load_dataset(result.outputs[0].path).train
        other = load_model(other_path)
        with torch.no_grad():
            right = (other(made.pixels).argmax(1) == made.columns["original_label"]).double().mean().item()
        figures[name] = {"right": right, **result.figures}
        assert (made.columns["norm"] <= 1.0 + 1e-6).all()
        assert torch.equal(made.labels, made.columns["target"])
    assert figures["spared"]["right"] == pytest.approx(figures["spared"]["ensemble_right"])
    assert figures["spared"]["right"] > 0.9
    assert figures["spared"]["right"] > figures["alone"]["right"] + 0.1
    assert figures["spared"]["success_where_changed"] > 0.6
    assert "ensemble_right" not in figures["alone"]


def test_errors_are_what_the_source_misreads_unchanged(model_path: Path, sources: Images, tmp_path: Path) -> None:
    weak = TrainSpec(
        dataset=SOME,
        architecture=ArchitectureRef(name="convnet", options={"widths": (8, 16, 32), "strides": (1, 2, 1)}),
        epochs=2,
        select="last",
    )
    path = execute(weak, Inputs(), MemoryContext(tmp_path / "weak")).outputs[0].path
    made, result = construct(ErrorsConstruction(), path, tmp_path / "errors")
    with torch.no_grad():
        read = load_model(path)(sources.batch(slice(None))).argmax(1)
    wrong = (read != sources.labels).nonzero().squeeze(1)
    assert 0 < len(wrong) < 400
    assert torch.equal(made.columns["source_index"], wrong)
    assert torch.equal(made.pixels, sources.batch(wrong))
    assert torch.equal(made.labels, read[wrong])
    assert (made.labels != made.columns["original_label"]).all()
    assert result.figures["errors"] == len(wrong) / 400
    assert result.figures["of_images"] == 400


def test_test_images_can_be_perturbed_to_be_read_by_others(model_path: Path, digits: Splits, tmp_path: Path) -> None:
    how = DeterministicTargetConstruction(epsilon=1.0, steps=10)
    spec = SynthesizeSpec(construction=how, dataset=DatasetRef(name="digits"), model=ModelRef(name="@m"), split="test")
    result = execute(spec, Inputs(models={"@m": model_path}), MemoryContext(tmp_path))
    made = load_dataset(result.outputs[0].path).train
    assert torch.equal(made.columns["original_label"], digits.test.labels)
    assert float((made.pixels - digits.test.batch(slice(None))).flatten(1).norm(dim=1).max()) <= 1.0 + 1e-5


def test_robust_can_start_from_noise(model: Classifier, model_path: Path, sources: Images, tmp_path: Path) -> None:
    made, _ = construct(RobustConstruction(recipe="fast", steps=60, start="noise"), model_path, tmp_path)
    assert "start_index" not in made.columns
    x = sources.batch(made.columns["source_index"])
    goal = model.features(x).detach()
    noise = torch.rand(256, 1, 8, 8, generator=generator(0, "start noise", 0))  # of the first block
    torch.testing.assert_close(made.columns["norm"][:256].double(), length(made.pixels[:256] - noise))
    found = length(model.features(made.pixels).detach() - goal) / length(goal)
    assert found.mean() < 0.2
    assert made.columns["norm"].min() > 0


def test_several_sources_share_the_gradients(model_path: Path, tmp_path: Path) -> None:
    """Targeted: what two sources make together reads as the target to both. Robust: the features of both are near."""
    other = execute(
        TrainSpec(dataset=DatasetRef(name="digits"), architecture=CONVNET, epochs=4, seed=7),
        Inputs(),
        MemoryContext(tmp_path / "other"),
    )
    models = {"@m": model_path, "@other": other.outputs[0].path}

    def both(how: Construction, name: str) -> tuple[Images, list[Classifier]]:
        spec = SynthesizeSpec(
            construction=how, dataset=SOME, model=ModelRef(name="@m"), further_models=(ModelRef(name="@other"),)
        )
        result = execute(spec, Inputs(models=models), MemoryContext(tmp_path / name))
        return load_dataset(result.outputs[0].path).train, [load_model(path) for path in models.values()]

    made, readers = both(DeterministicTargetConstruction(epsilon=1.5, steps=20), "targeted")
    alone, _ = construct(DeterministicTargetConstruction(epsilon=1.5, steps=20), model_path, tmp_path / "alone")
    reached = [float((reader(made.pixels).argmax(1) == made.labels).double().mean()) for reader in readers]
    by_one = float((readers[1](alone.pixels).argmax(1) == alone.labels).double().mean())
    assert min(reached) > by_one + 0.1
    assert made.columns["norm"].max() <= 1.5 * (1 + 1e-6)

    matched, readers = both(RobustConstruction(recipe="fast", steps=80), "robust")
    x = open_dataset(SOME, Inputs(), tmp_path).train.batch(matched.columns["source_index"])
    for reader in readers:
        goal = reader.features(x).detach()
        assert (length(reader.features(matched.pixels).detach() - goal) / length(goal)).mean() < 0.3
