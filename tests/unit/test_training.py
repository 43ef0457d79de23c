"""Training: what it keeps, what it leaves behind, and when it gives up."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from core.context import Inputs, MemoryContext, Result, StoredDataset
from core.descent import Descent
from core.errors import Diverged, SpecRefused
from core.images import Images, Splits, open_dataset, save_dataset
from core.losses import divergence
from core.models import Classifier, load_model, new_classifier
from core.run import execute
from core.seeding import generator
from core.sgd import SGD
from core.training import as_they_were, channel_statistics, split_for_validation, validate
from core.training_state import Average, Epoch, Selection
from sieve.specs import PGD, ArchitectureRef, Constant, DatasetRef, Trades, TrainSpec

CONVNET = ArchitectureRef(name="convnet", options={"widths": (8, 8)})
SPEC = TrainSpec(dataset=DatasetRef(name="digits", limit_train=400), architecture=CONVNET, epochs=3)


@pytest.fixture(scope="module")
def digits() -> Splits:
    return open_dataset(SPEC.dataset, Inputs(), Path("nowhere"))


def run(folder: Path, inputs: Inputs | None = None, **fields: Any) -> tuple[Result, MemoryContext]:
    context = MemoryContext(folder)
    return execute(SPEC.model_copy(update=fields), inputs or Inputs(), context), context


def tiny() -> Classifier:
    return new_classifier(CONVNET, (1, 8, 8), 10, mean=[0.3], std=[0.4], seed=0)


def test_what_a_training_says_and_leaves(tmp_path: Path) -> None:
    result, context = run(tmp_path, adversary=PGD(epsilon=0.5, steps=2))
    figures = result.figures
    assert figures["epochs"] == 3
    assert figures["train_images"] == 360
    assert figures["validation_images"] == 40
    assert figures["parameters"] == sum(parameter.numel() for parameter in tiny().parameters())
    standard, robust = (dict(context.metrics[name]) for name in ("validation", "validation_robust"))
    assert list(standard) == list(robust) == [1, 2, 3]
    chosen = figures["chosen_epoch"]
    assert figures["validation"] == {"standard": standard[chosen], "robust": robust[chosen]}
    assert robust[chosen] == max(robust.values())
    assert figures["loss"] == dict(context.metrics["loss"])[chosen]
    assert [point for point in context.seen if point[1] == 3] == [("training", 3, 3)]
    assert [output.role for output in result.outputs] == ["model"]


def test_the_best_epoch_is_kept_and_of_equals_the_later_one() -> None:
    model = tiny()
    scores = [0.5, 0.9, 0.7, 0.9, 0.8]

    def chosen(select: Any) -> tuple[int, float]:
        selection = Selection(select)
        for number, score in enumerate(scores, 1):
            model.head.bias.data.fill_(number)
            selection.consider(Epoch(number, 1.0, score, None), model)
        assert selection.chosen is not None
        return selection.chosen.number, float(selection.weights["head.bias"][0])

    assert chosen("best") == (4, 4.0)
    assert chosen("last") == (5, 5.0)


def test_robust_accuracy_decides_where_there_is_an_adversary() -> None:
    assert Epoch(1, 1.0, standard=0.9, robust=0.3).score == 0.3
    assert Epoch(1, 1.0, standard=0.9, robust=None).score == 0.9


def test_the_weights_kept_are_those_of_the_chosen_epoch(digits: Splits, tmp_path: Path) -> None:
    result, _ = run(tmp_path, epochs=6, learning_rate=0.5)
    model = load_model(result.outputs[0].path)
    _, validation = split_for_validation(digits.train, SPEC)
    read = model(validation.batch(slice(None))).argmax(1)
    assert (read == validation.labels).double().mean().item() == result.figures["validation"]["standard"]


def test_the_validation_split_is_seeded_and_held_out(digits: Splits) -> None:
    images = Images(digits.train.pixels, torch.arange(400))
    training, validation = split_for_validation(images, SPEC)
    assert len(validation) == 40
    assert sorted([*training.labels.tolist(), *validation.labels.tolist()]) == list(range(400))
    again = split_for_validation(images, SPEC)[1].labels
    other = split_for_validation(images, SPEC.model_copy(update={"seed": 1}))[1].labels
    assert torch.equal(again, validation.labels)
    assert not torch.equal(other, validation.labels)


def test_nothing_is_held_out_where_the_last_epoch_is_kept_anyway(tmp_path: Path) -> None:
    result, _ = run(tmp_path, validation_fraction=0.0, select="last")
    assert result.figures["validation_images"] == 0
    assert result.figures["chosen_epoch"] == 3
    assert result.figures["validation"] == {"standard": None, "robust": None}


def test_the_control_permutes_labels_among_the_same_images(digits: Splits, tmp_path: Path) -> None:
    permuted = SPEC.model_copy(update={"permute_labels": True})
    training, validation = split_for_validation(digits.train, permuted)
    plain, _ = split_for_validation(digits.train, SPEC)
    assert torch.equal(training.pixels, plain.pixels)
    assert (training.labels == plain.labels).double().mean() < 0.2
    counts = torch.cat([training.labels, validation.labels]).bincount()
    assert torch.equal(counts, digits.train.labels.bincount())
    learnt = run(tmp_path / "plain", epochs=20)[0].figures["validation"]["standard"]
    control = run(tmp_path / "permuted", epochs=20, permute_labels=True)[0].figures["validation"]["standard"]
    assert learnt > 0.7
    assert control < 0.35, "chance is 0.1"


def test_normalisation_is_that_of_the_training_part() -> None:
    pixels = torch.rand(300, 3, 5, 7, generator=generator(0, "images")) * torch.tensor([1.0, 0.5, 0.0])[:, None, None]
    mean, std = channel_statistics(Images(pixels, torch.zeros(300).long()))
    torch.testing.assert_close(mean, pixels.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(std[:2], pixels[:, :2].std(dim=(0, 2, 3), correction=0))
    assert std[2] == 1, "a constant channel is left as it is"


def test_a_training_that_diverges_says_so(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="learning_rate"):
        run(tmp_path, learning_rate=100.0, weight_decay=1.0, schedule=Constant())


def test_weights_that_are_no_numbers_are_noticed() -> None:
    model = tiny()
    average = Average(model, None)
    average.end_epoch()
    assert average.is_finite()
    model.body[1].running_var.fill_(float("inf"))
    average.end_epoch()
    assert not average.is_finite()


def test_the_average_follows_weights_and_statistics() -> None:
    model = tiny()
    average = Average(model, 0.9)
    expected: Tensor = average.model.body[1].running_mean.clone()
    for step in range(200):
        for tensor in (model.head.weight.data, model.body[1].running_mean):
            tensor.fill_(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        average.end_step(step)
    average.end_epoch()
    torch.testing.assert_close(average.model.body[1].running_mean, expected)
    torch.testing.assert_close(average.model.head.weight[0, 0], expected[0])
    assert 185 < expected[0] < 195, "behind by 1 / (1 - decay) steps, the initial weights forgotten"


def test_sgd_is_torchs() -> None:
    ours = tiny()
    theirs = copy.deepcopy(ours)
    descent = SGD(ours, momentum=0.9, weight_decay=5e-4)
    reference = torch.optim.SGD(theirs.parameters(), lr=1.0, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for step in range(4):
        draws = generator(0, "batch", step)
        x, y = torch.rand(16, 1, 8, 8, generator=draws), torch.randint(10, (16,), generator=draws)
        descent.step(descent.gradients(functional.cross_entropy(ours(x), y)), 0.1 / (1 + step))
        reference.param_groups[0]["lr"] = 0.1 / (1 + step)
        reference.zero_grad()
        functional.cross_entropy(theirs(x), y).backward()
        reference.step()
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name), parameter, rtol=1e-5, atol=1e-7)


def test_a_dataset_smaller_than_a_batch_is_one_batch(digits: Splits, tmp_path: Path) -> None:
    save_dataset(tmp_path / "few", digits.train.select(slice(40)), digits.classes)
    inputs = Inputs(datasets={"@few": StoredDataset(tmp_path / "few")})
    result, _ = run(tmp_path / "run", inputs, dataset=DatasetRef(name="@few"), batch_size=64)
    assert result.figures["train_images"] == 36


def test_trades_is_its_paper_s_loss() -> None:
    """Cross-entropy of the images and beta times the divergence from them to the attacked ones, gradients and all."""
    draws = generator(0, "images")
    x, y = torch.rand(12, 1, 8, 8, generator=draws), torch.arange(12) % 10
    model = tiny()

    class Given:
        def refresh(self) -> None: ...
        def start(self, x: Tensor, draws: torch.Generator) -> Tensor:
            return (x + 0.1).clamp(0, 1)

        def climb(self, x: Tensor, labels: Tensor, start: Tensor) -> Tensor:
            return start

    sgd = SGD(model, momentum=0.9, weight_decay=0.0)
    descent = Descent(model, sgd, Given(), Trades(beta=3.0))  # type: ignore[arg-type]
    descent.begin(x, y, draws)
    gradients, loss = descent.gradients(12)
    clean = functional.log_softmax(model(x), 1)
    attacked = functional.log_softmax(model((x + 0.1).clamp(0, 1)), 1)
    wanted = functional.nll_loss(clean, y) + 3.0 * functional.kl_div(
        attacked, clean, log_target=True, reduction="batchmean"
    )
    torch.testing.assert_close(loss, wanted.detach(), rtol=1e-5, atol=1e-6)
    theirs = torch.autograd.grad(wanted, list(model.parameters()))
    for ours, other in zip(gradients, theirs, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-3, atol=1e-6)


def test_the_divergence_is_kullback_and_leiblers() -> None:
    one, other = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[0.0, 1.0, 0.5]])
    p, q = one.softmax(1), other.softmax(1)
    torch.testing.assert_close(divergence(one, other), (p * (p / q).log()).sum(1))
    assert divergence(one, one).item() == 0


def test_trades_trains_a_robust_network_and_needs_an_adversary(tmp_path: Path) -> None:
    fields = {"epochs": 8, "dataset": DatasetRef(name="digits", limit_train=800), "batch_size": 32}
    adversary = PGD(epsilon=0.5, steps=3, relative_step=0.5)
    robust = {
        name: run(tmp_path / name, adversary=adversary, **fields, **more)[0].figures["validation"]
        for name, more in {"trades": {"objective": Trades()}}.items()
    }
    plain = load_model(run(tmp_path / "plain", **fields)[0].outputs[0].path)
    held_out = split_for_validation(
        open_dataset(fields["dataset"], Inputs(), tmp_path).train, SPEC.model_copy(update=fields)
    )[1]
    measured = validate(plain, held_out, SPEC.model_copy(update=fields | {"adversary": adversary}), 256)
    assert measured["robust"] is not None
    assert robust["trades"]["robust"] > measured["robust"] + 0.1
    with pytest.raises(ValidationError, match="needs an adversary"):
        TrainSpec(dataset=SPEC.dataset, architecture=CONVNET, objective=Trades())


def test_held_out_images_can_be_judged_as_they_were(digits: Splits, tmp_path: Path) -> None:
    """Of a constructed dataset whose images are blank: only the images that they were made from can be read."""
    source = digits.train
    index = torch.arange(400).flip(0)
    blank = Images(torch.zeros(400, 1, 8, 8), (source.labels[index] + 1) % 10, {"source_index": index})
    save_dataset(tmp_path / "made", blank, digits.classes)
    inputs = Inputs(datasets={"@made": StoredDataset(tmp_path / "made")})
    spec = SPEC.model_copy(update={"dataset": DatasetRef(name="@made")})
    held_out = as_they_were(split_for_validation(blank, spec)[1], source)
    places = split_for_validation(blank, spec)[1].columns["source_index"]
    assert torch.equal(held_out.pixels, source.pixels[places])  # type: ignore[index]
    assert torch.equal(held_out.labels, source.labels[places])
    result, _ = run(tmp_path / "run", inputs, dataset=DatasetRef(name="@made"), validate_on=SPEC.dataset)
    assert result.figures["stuck_at_chance"] is True
    assert any("Stuck at chance" in said for said in result.figures["cautions"])
    with pytest.raises(SpecRefused, match="not constructed"):
        run(tmp_path / "other", validate_on=SPEC.dataset)


FAST = {"norm": "linf", "steps": 1, "relative_step": 1.0}
PLANTED = {
    "dataset": DatasetRef(name="planted", limit_train=1000),
    "architecture": ArchitectureRef(name="convnet", options={"widths": (16, 32, 32), "strides": (1, 2, 1)}),
    "epochs": 6,
}


def test_catastrophic_overfitting_raises_the_alarm(tmp_path: Path) -> None:
    """One step of a large epsilon: the network learns to stand that step, and nothing else."""
    result, context = run(tmp_path, adversary=PGD(epsilon=0.2, **FAST), **PLANTED)
    found = result.figures["catastrophic_overfitting"]
    assert found["few_steps"] > 0.5
    assert found["many_steps"] < 0.1
    assert any("Catastrophic overfitting" in said for said in result.figures["cautions"])
    assert len([line for line in context.logged if "Catastrophic overfitting" in line]) == 1, (
        "said once, when it happens"
    )
    last = {name: points[-1][1] for name, points in context.metrics.items()}
    assert last["validation_few_steps"] > last["validation_robust"] + 0.3


def test_an_honest_fast_training_raises_none(tmp_path: Path) -> None:
    result, context = run(tmp_path, adversary=PGD(epsilon=0.08, **FAST), **PLANTED)
    assert result.figures["catastrophic_overfitting"] is None
    assert result.figures["cautions"] == []
    assert context.logged == []
    assert result.figures["validation"]["robust"] > 0.5, "under many steps"
