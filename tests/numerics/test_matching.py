"""Feature matching by the fast recipe: how near it comes in how many gradients, and where it may go."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.linalg import vector_norm

from core import matching
from core.context import Inputs, MemoryContext
from core.frozen import FrozenModel
from core.images import Splits
from core.models import Classifier, load_model
from core.run import execute
from sieve.specs import TrainSpec
from sieve.specs.attack import PGD
from sieve.specs.base import Precision
from tests.numerics.conftest import CONVNET, DIGITS

N = 96


@pytest.fixture(scope="module")
def robust_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    adversary = PGD(epsilon=1.0, steps=4, relative_step=0.35)
    spec = TrainSpec(dataset=DIGITS, architecture=CONVNET, epochs=8, adversary=adversary)
    return execute(spec, Inputs(), MemoryContext(tmp_path_factory.mktemp("robust"))).outputs[0].path


@pytest.fixture
def goal_images(digits: Splits) -> Tensor:
    return digits.train.batch(slice(N))


@pytest.fixture
def start(digits: Splits) -> Tensor:
    return digits.train.batch(slice(N, 2 * N))


def mean_distance(model: Classifier, z: Tensor, goal: Tensor) -> float:
    """Relative, judged by the plain model."""
    with torch.no_grad():
        relative: Tensor = vector_norm(model.features(z) - goal, dim=1) / vector_norm(goal, dim=1)
    return relative.mean().item()


@pytest.mark.parametrize("source", ["standard", "adversarial"])
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_80_gradients_come_nearer_than_500_of_the_paper(
    *,
    source: str,
    precision: Precision,
    model_path: Path,
    robust_path: Path,
    start: Tensor,
    goal_images: Tensor,
) -> None:
    model = load_model(model_path if source == "standard" else robust_path)
    view = FrozenModel(model, precision)
    with torch.no_grad():
        goal = view.features(goal_images)
        wanted = model.features(goal_images)
    plain = matching.by_steps(view.features, goal, start, [0.1] * 500)
    found = matching.fast(view.features, goal, start, 80)
    assert mean_distance(model, found, wanted) < mean_distance(model, plain, wanted)
    moved, as_much = (vector_norm(z - start, dim=(1, 2, 3)).mean() for z in (found, plain))
    assert moved < 1.1 * as_much, "nearer in features, no farther in pixels"


def test_stays_in_the_box_and_gives_the_same_bits(model: Classifier, start: Tensor, goal_images: Tensor) -> None:
    view = FrozenModel(model, "exact")
    with torch.no_grad():
        goal = view.features(goal_images)
    once, again = (matching.fast(view.features, goal, start, 12) for _ in range(2))
    assert torch.equal(once, again)
    assert once.dtype == torch.float32
    assert not once.requires_grad
    assert once.min() == 0
    assert once.max() <= 1
    assert (start != once).flatten(1).any(1).all()


def test_more_gradients_never_end_farther_away(model: Classifier, start: Tensor, goal_images: Tensor) -> None:
    view = FrozenModel(model, "exact")
    with torch.no_grad():
        goal = view.features(goal_images)
    distances = []
    for steps in (1, 5, 20, 21, 40):
        with torch.no_grad():
            z = matching.fast(view.features, goal, start, steps)
            distances.append(vector_norm(view.features(z) - goal, dim=1))
    for fewer, more in pairwise(distances):
        assert (more <= fewer * (1 + 1e-5)).all()


def test_the_first_step_is_a_part_of_the_way_to_where_the_linear_model_is_at_0(start: Tensor) -> None:
    """With features that are linear in z, ||A z - goal|| of one feature falls by exactly that part."""
    weights = torch.rand(1, start[0].numel(), generator=torch.Generator().manual_seed(0)) - 0.5
    inside = 0.25 + 0.5 * start

    def features(z: Tensor) -> Tensor:
        return z.flatten(1) @ weights.T

    goal = features(inside) + 0.1
    z = matching.fast(features, goal, inside, 1)
    torch.testing.assert_close(goal - features(z), torch.full_like(goal, 0.1 * (1 - matching.PART)), rtol=0, atol=1e-4)


def test_where_there_is_no_gradient_nothing_moves(start: Tensor) -> None:
    """Flat features, some of them at their goal already; and a gradient whose square is 0 in fp32."""

    def flat(z: Tensor) -> Tensor:
        return 0 * z.flatten(1)

    goal = flat(start) + (torch.arange(N) % 2)[:, None]
    assert torch.equal(matching.fast(flat, goal, start, 5), start)
    nearly = matching.fast(lambda z: 1e-25 * z.flatten(1), goal, start, 5)
    assert torch.isfinite(nearly).all()
    assert nearly.min() >= 0
    assert nearly.max() <= 1
