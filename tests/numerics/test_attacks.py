"""The attacks of the strong ensemble: balls, strength, and models that would lead a single one astray."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from core import l1
from core.apgd import APGDAttack
from core.attack import Attack
from core.fab import FABAttack
from core.frozen import FrozenModel
from core.hyperplane import to_hyperplane
from core.images import Splits
from core.judging import build_attacks
from core.losses import logits_ratio, margin
from core.models import Classifier
from core.pgd import PGDAttack
from core.seeding import generator
from core.square import SquareAttack
from core.threat import NORMS, Ball
from sieve.specs import AttackRef, Norm

RADII: list[tuple[Norm, float]] = [("l1", 2.5), ("l2", 0.5), ("linf", 0.1)]
ATTACKS: list[Attack] = [
    APGDAttack("cross_entropy", 20),
    APGDAttack("ratio", 20),
    APGDAttack("targeted_ratio", 20, 2),
    FABAttack(20, 2),
    SquareAttack(100),
]


def left(model: Classifier, attack: Attack, ball: Ball, y: Tensor) -> Tensor:
    """Which images the plain model still reads right after all tries, bool [n]."""
    view, right = FrozenModel(model, "exact"), torch.ones(len(y), dtype=torch.bool)
    for restart in range(attack.restarts):
        z = ball.settled(attack.perturb(view, y, ball, restart, generator(0, "draws", restart)))
        with torch.no_grad():
            right &= model(z).argmax(1) == y
    return right


def shown(digits: Splits, n: int = 96) -> tuple[Tensor, Tensor]:
    return digits.test.batch(slice(n)), digits.test.labels[:n]


@pytest.mark.parametrize(("norm", "epsilon"), RADII)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.label)
def test_attacks_keep_to_ball_and_box_and_break_images(
    *, model: Classifier, digits: Splits, attack: Attack, norm: Norm, epsilon: float
) -> None:
    x, y = shown(digits, 64)
    ball = Ball(NORMS[norm], x, epsilon)
    before = copy.deepcopy(model.state_dict())
    z = attack.perturb(FrozenModel(model, "exact"), y, ball, 1 if attack.restarts > 1 else 0, generator(0, "draws"))
    settled = ball.settled(z)
    assert (NORMS[norm].length(settled.double() - x.double()) <= epsilon * (1 + 1e-6)).all()
    assert settled.min() >= 0
    assert settled.max() <= 1
    assert (settled - z).abs().max() < 1e-5, "settling only mends what rounding did"
    assert all(torch.equal(before[name], held) for name, held in model.state_dict().items())
    with torch.no_grad():
        assert (model(z).argmax(1) == y).float().mean() < (model(x).argmax(1) == y).float().mean() - 0.1
    again = attack.perturb(FrozenModel(model, "exact"), y, ball, 1 if attack.restarts > 1 else 0, generator(0, "draws"))
    assert torch.equal(again, z), "the same draws, the same bits"


@pytest.mark.parametrize(("norm", "epsilon"), RADII)
def test_auto_pgd_is_at_least_as_strong_as_pgd(model: Classifier, digits: Splits, norm: Norm, epsilon: float) -> None:
    x, y = shown(digits)
    ball = Ball(NORMS[norm], x, epsilon / 2)
    pgd = left(model, PGDAttack("margin", 50, 0.1), ball, y)
    both = left(model, APGDAttack("cross_entropy", 50), ball, y) & left(
        model, APGDAttack("targeted_ratio", 50, 3), ball, y
    )
    fab = left(model, FABAttack(50, 3), ball, y)
    assert both.sum() <= pgd.sum()
    assert fab.sum() <= pgd.sum() + 2


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_any_number_of_classes(classes: int, model: Classifier, digits: Splits) -> None:
    few = copy.deepcopy(model)
    few.head.weight = torch.nn.Parameter(model.head.weight[:classes].detach())
    few.head.bias = torch.nn.Parameter(model.head.bias[:classes].detach())
    few.head.out_features = classes
    known = digits.test.labels < classes
    x, y = digits.test.batch(known)[:32], digits.test.labels[known][:32]
    ball = Ball(NORMS["l2"], x, 1.5)
    for attack in ATTACKS:
        assert left(few, attack, ball, y).float().mean() < 0.9, attack.label
    untried = APGDAttack("targeted_ratio", 5, 9).perturb(
        FrozenModel(few, "exact"), y, ball, classes - 1, generator(0, "draws")
    )
    assert torch.equal(untried, x), "there is no class left to aim at"


def test_the_ratio_knows_no_scale_and_no_shift() -> None:
    logits, y = torch.randn(32, 5, generator=generator(0, "logits")), torch.arange(32) % 5
    rivals = (y + 2) % 5
    for given in (None, rivals):
        plain = logits_ratio(logits, y, given)
        torch.testing.assert_close(logits_ratio(1e4 * logits + 7, y, given), plain, rtol=1e-3, atol=1e-4)
        assert torch.equal(plain > 0, margin(logits, y, given) > 0)
    assert torch.equal(logits_ratio(logits[:, :2], y % 2), margin(logits[:, :2], y % 2))


@pytest.mark.parametrize("loss", ["cross_entropy", "ratio"])
def test_logits_times_ten_thousand_are_attacked_as_well(loss: Any, model: Classifier, digits: Splits) -> None:
    sure = copy.deepcopy(model)
    with torch.no_grad():
        sure.head.weight *= 1e4
        sure.head.bias *= 1e4
    x, y = shown(digits)
    ball = Ball(NORMS["l2"], x, 0.5)
    plain, scaled = (left(one, APGDAttack(loss, 50), ball, y).sum() for one in (model, sure))
    assert abs(int(plain) - int(scaled)) <= 2


@pytest.mark.parametrize("radius", [0.3, 2.0, 30.0])
def test_the_projection_onto_l1_and_box_is_the_nearest_point(radius: float) -> None:
    draws = generator(0, "l1")
    center = torch.rand(16, 1, 4, 4, generator=draws)
    wish = torch.randn(16, 1, 4, 4, generator=draws)
    found = l1.shrink_in_box(wish, center, radius)
    z = center + found
    assert (l1.length(found) <= radius * (1 + 1e-5)).all()
    assert z.min() >= -1e-6
    assert z.max() <= 1 + 1e-6
    # Nearest: no feasible point lies further along (wish - found). Vertices of l1's ball and random points are tried.
    for _ in range(200):
        other = torch.randn(16, 1, 4, 4, generator=draws) * torch.rand(16, 1, 1, 1, generator=draws)
        other = (center + other).clamp(0, 1) - center
        other *= (radius / l1.length(other).clamp_min(1e-9)).clamp_max(1).reshape(-1, 1, 1, 1)
        assert (((wish - found) * (other - found)).flatten(1).sum(1) <= 1e-4).all()


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_the_way_to_a_hyperplane_ends_on_it_and_is_the_shortest(norm: Norm) -> None:
    draws = generator(0, "plane")
    z, slope = torch.rand(64, 1, 4, 4, generator=draws), torch.randn(64, 1, 4, 4, generator=draws)
    rise = torch.randn(64, generator=draws)
    delta = to_hyperplane(z, slope, rise, norm)
    torch.testing.assert_close((slope * delta).flatten(1).sum(1), rise, rtol=1e-4, atol=1e-4)
    assert (z + delta).min() >= -1e-6
    assert (z + delta).max() <= 1 + 1e-6
    # With no wall in the way: |rise| over the dual norm of the slope.
    middle = to_hyperplane(torch.full_like(z, 0.5), slope, 0.01 * rise, norm)
    order = {"l1": math.inf, "l2": 2, "linf": 1}[norm]
    torch.testing.assert_close(
        NORMS[norm].length(middle), 0.01 * rise.abs() / torch.linalg.vector_norm(slope.flatten(1), ord=order, dim=1)
    )
    assert torch.equal(to_hyperplane(z, torch.zeros_like(z), rise, norm), torch.zeros_like(z))


def test_an_ensemble_is_its_members_in_their_order() -> None:
    labels = list(build_attacks([AttackRef(name="strong", options={"queries": 100})]))
    assert labels == ["apgd cross_entropy", "apgd targeted_ratio", "fab", "square"]
