"""Counting a job's work, and what rates and past jobs make of it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch

from core import images, reattack
from core.cards import ATTACKS, AttackEntry, DatasetCard, ModelCard
from core.context import Inputs, MemoryContext
from core.estimate import ENOUGH, Past, Point, Rates, by_rates, estimate, finished_after
from core.measuring import SIZES, measure
from core.run import execute
from core.work import (
    BLOCK,
    REATTACKED,
    Network,
    Passes,
    PassKind,
    Uncounted,
    Work,
    of_evaluation,
    of_synthesis,
    of_training,
)
from sieve.specs import ArchitectureRef, DatasetRef, EvaluateSpec, ModelRef, Spec, SynthesizeSpec, TrainSpec

DIGITS = DatasetCard((1, 8, 8), tuple("0123456789"), 1437, 360)
CONVNET = ArchitectureRef(name="convnet", options={"widths": (4, 8)})
NETWORK = Network(architecture="convnet", options={"widths": [4]}, shape=(1, 8, 8), classes=10, precision="exact")


class Shelf:
    """A catalogue of one dataset and one model."""

    def __init__(self, model: ModelCard) -> None:
        self._model = model

    def dataset(self, ref: DatasetRef) -> DatasetCard:
        return DIGITS

    def model(self, ref: ModelRef) -> ModelCard:
        return self._model


PLAIN = Shelf(ModelCard((1, 8, 8), 10, CONVNET))
ATTACKED = Shelf(ModelCard((1, 8, 8), 10, CONVNET, attacked=True))
TRAINING = {"dataset": "digits", "architecture": CONVNET, "epochs": 3}


def counted(work: Work) -> dict[tuple[str, int], float]:
    passes: dict[tuple[str, int], float] = {}
    for one in work.passes:
        passes[one.kind, one.images] = passes.get((one.kind, one.images), 0) + one.times
    return passes


def test_the_work_is_what_a_training_really_does(tmp_path: Path) -> None:
    spec = TrainSpec.model_validate(TRAINING | {"dataset": {"name": "digits"}, "batch_size": 64})
    context = MemoryContext(tmp_path)
    execute(spec, Inputs(), context)
    steps = sum(phase == "training" and step < total for phase, step, total in context.seen) - 2  # said at epochs' ends
    assert counted(of_training(spec, PLAIN)) == {("train", 64): steps, ("read", 144): 3}


def test_an_adversary_adds_its_gradients_to_steps_and_validation() -> None:
    spec = TrainSpec.model_validate(TRAINING | {"adversary": {"steps": 7}})
    work = of_training(spec, PLAIN)
    steps = 3 * ((1437 - 144) // 64)
    assert counted(work) == {
        ("adversarial", 64): steps,
        ("search", 64): 6 * steps,
        ("read", 144): 6,
        ("search", 144): 21,
    }
    assert work.group != of_training(TrainSpec.model_validate(TRAINING), PLAIN).group
    assert work.network == of_training(TrainSpec.model_validate(TRAINING), PLAIN).network


def test_a_construction_takes_its_steps_on_each_block_and_keeps_its_images() -> None:
    spec = SynthesizeSpec.model_validate(
        {"construction": {"method": "robust", "steps": 50}, "dataset": "digits", "model": "mdl_1"}
    )
    work = of_synthesis(spec, PLAIN)
    passes = counted(work)
    assert (passes["search", BLOCK], passes["search", 1437 - 5 * BLOCK]) == (250, 50)
    assert 1437 * 64 * 4 < work.files_bytes < 1437 * (64 * 4 + 64)
    assert (BLOCK, REATTACKED) == (images.BLOCK, reattack.SAMPLE)


def test_an_evaluation_is_guessed_longer_for_a_robust_model() -> None:
    spec = EvaluateSpec.model_validate({"dataset": "digits", "model": "mdl_1"})
    plain, attacked = (
        sum(one.times * one.images for one in of_evaluation(spec, shelf).passes if one.kind == "search")
        for shelf in (PLAIN, ATTACKED)
    )
    assert 360 * 2 * 2 * 5 * 50 > attacked > 2 * plain, "less than every image, every radius, every try"


def test_an_attack_that_says_nothing_of_its_gradients_leaves_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = AttackEntry("silent", "", Spec, frozenset({"l2"}), lambda _: None)  # type: ignore[arg-type,return-value]
    monkeypatch.setitem(ATTACKS._entries, "silent", silent)
    spec = EvaluateSpec.model_validate({"dataset": "digits", "model": "mdl_1", "attacks": ["silent"]})
    with pytest.raises(Uncounted, match="silent"):
        of_evaluation(spec, PLAIN)


def test_equal_networks_have_one_key_with_defaults_written_or_not() -> None:
    bare = of_training(TrainSpec.model_validate(TRAINING | {"architecture": "convnet"}), PLAIN).network
    written = {"name": "convnet", "options": {"widths": [8, 16, 32]}}
    same = of_training(TrainSpec.model_validate(TRAINING | {"architecture": written}), PLAIN).network
    other = of_training(TrainSpec.model_validate(TRAINING), PLAIN).network
    assert bare is not None
    assert same is not None
    assert other is not None
    assert bare.key == same.key != other.key


def test_a_model_from_before_has_no_architecture_to_count_with() -> None:
    spec = EvaluateSpec.model_validate({"dataset": "digits", "model": "mdl_1"})
    with pytest.raises(Uncounted, match="architecture"):
        of_evaluation(spec, Shelf(ModelCard((1, 8, 8), 10)))


def rates(*seconds: tuple[int, float]) -> Rates:
    points = tuple(Point(images=images, seconds=value, memory=images) for images, value in seconds)
    return Rates(passes={"train": points}, base=1000, weights=7)


def test_between_and_beyond_measured_sizes_time_lies_on_the_line() -> None:
    two = rates((16, 0.2), (64, 0.4), (256, 0.8))
    assert [two.seconds("train", images) for images in (16, 40, 64, 160, 448)] == pytest.approx(
        [0.2, 0.3, 0.4, 0.6, 1.2]
    )
    assert rates((16, 0.2)).seconds("train", 32) == pytest.approx(0.4)


def work(group: str = "train", network: Network | None = NETWORK) -> Work:
    return Work(
        group=group, network=network, passes=(Passes(kind="train", images=16, times=10),), seconds=1.0, models=2
    )


def test_without_past_jobs_the_range_is_wide_and_says_so() -> None:
    found = estimate(work(), rates((16, 0.2)), [])
    assert (found.seconds.value, found.past) == (pytest.approx(3.0), 0)
    assert (found.seconds.low, found.seconds.high) == pytest.approx((1.5, 6.0))
    assert found.files == 14


def test_past_jobs_of_its_own_sort_correct_an_estimate() -> None:
    alike = [Past("train", NETWORK.key, 1 + at / 10, 1.0) for at in range(ENOUGH)]
    strangers = [Past("report", None, 9.0, 1.0)] * 50
    found = estimate(work(), rates((16, 0.2)), [*strangers, *alike])
    assert found.past == ENOUGH
    assert (found.seconds.low, found.seconds.value, found.seconds.high) == pytest.approx((3.12, 3.6, 4.08))
    other = estimate(work("evaluate"), rates((16, 0.2)), [*strangers, *alike])
    assert other.past == 0
    assert (other.seconds.low, other.seconds.value, other.seconds.high) == pytest.approx((13.5, 27.0, 54.0))


def test_a_graph_ends_with_its_longest_way_through_the_slots() -> None:
    graph = [("a", (), 4.0), ("b", (), 1.0), ("c", ("b", "job_elsewhere"), 1.0), ("d", ("a", "c"), 1.0)]
    assert finished_after(graph, 1) == 7.0
    assert finished_after(graph, 2) == 5.0
    assert finished_after(graph, 9) == 5.0


def test_a_network_is_measured_with_the_code_of_jobs(tmp_path: Path) -> None:
    network = NETWORK.model_copy(update={"precision": "fast"})
    found = measure(network, torch.device("cpu"), tmp_path)
    assert found.weights == sum(4 * count for count in (2, 4 * 9, 4, 4, 4, 4, 40, 10)) + 8, (
        "statistics, convolution, normalisation and its counter, head"
    )
    for kind in get_args(PassKind):
        assert [point.images for point in found.passes[kind]] == list(SIZES)[: len(found.passes[kind])]
        assert all(point.seconds > 0 for point in found.passes[kind])
    assert by_rates(of_training(TrainSpec.model_validate(TRAINING), PLAIN), found).seconds > 0.1
