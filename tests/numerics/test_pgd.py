"""The PGD loop: its properties, and foolbox's on the same inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eagerpy
import foolbox
import pytest
import torch
from foolbox.attacks.gradient_descent_base import L2BaseGradientDescent, LinfBaseGradientDescent
from torch import Tensor

from core.frozen import FrozenModel
from core.images import Splits
from core.losses import cross_entropy, margin
from core.models import Classifier
from core.pgd import PGDAttack, pgd
from core.seeding import generator
from core.threat import NORMS, Ball
from sieve.specs import Norm
from sieve.specs.base import Precision

FOOLBOX = {"l2": L2BaseGradientDescent, "linf": LinfBaseGradientDescent}


@pytest.mark.parametrize(("norm", "epsilon"), [("l2", 0.25), ("l2", 1.0), ("linf", 0.05), ("linf", 0.2)])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
@pytest.mark.parametrize("restart", [0, 1])
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_an_attack_keeps_to_its_ball_and_raises_the_loss(
    *, model: Classifier, digits: Splits, norm: Norm, epsilon: float, loss: Any, restart: int, precision: Precision
) -> None:
    x, y = digits.test.batch(slice(64)), digits.test.labels[:64]
    attack = PGDAttack(loss, steps=10, relative_step=0.2)
    ball = Ball(NORMS[norm], x, epsilon)
    z = attack.perturb(FrozenModel(model, precision), y, ball, restart, generator(0, "draws"))
    assert z.dtype == torch.float32
    assert not z.requires_grad
    assert (NORMS[norm].length(z.double() - x.double()) <= epsilon * (1 + 1e-6)).all()
    assert z.min() >= 0
    assert z.max() <= 1
    with torch.no_grad():
        value = cross_entropy if loss == "cross_entropy" else margin
        assert (value(model(z), y) > value(model(x), y)).float().mean() > 0.95


@pytest.mark.parametrize(("norm", "epsilon"), [("l2", 0.5), ("linf", 0.1)])
@pytest.mark.parametrize("start", ["image", "random"])
@pytest.mark.parametrize("goal", ["away", "target"])
def test_pgd_is_foolboxs(
    *, model: Classifier, digits: Splits, norm: Norm, epsilon: float, start: str, goal: str
) -> None:
    x, y = digits.test.batch(slice(32)), digits.test.labels[:32]
    ball = Ball(NORMS[norm], x, epsilon)
    begin = ball.random_start(generator(0, "start")) if start == "random" else x
    towards = (y + 1) % 10

    class SameStart(FOOLBOX[norm]):  # type: ignore[misc]
        def get_random_start(self, *_: object) -> Any:
            return eagerpy.astensor(begin)

    theirs = SameStart(rel_stepsize=0.2, abs_stepsize=None, steps=20, random_start=start == "random").run(
        foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"),
        x,
        foolbox.criteria.TargetedMisclassification(towards)
        if goal == "target"
        else foolbox.criteria.Misclassification(y),
        epsilon=epsilon,
    )
    climbed: Callable[[Tensor], Tensor] = (
        (lambda z: -cross_entropy(model(z), towards)) if goal == "target" else (lambda z: cross_entropy(model(z), y))
    )
    ours = pgd(climbed, ball, begin, [0.2 * epsilon] * 20)
    assert (theirs - x).abs().max() > 0.05
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_the_view_searches_as_well_as_the_model(model: Classifier, digits: Splits) -> None:
    x, y = digits.test.batch(slice(None)), digits.test.labels
    ball = Ball(NORMS["l2"], x, 0.5)

    def robust(logits: Callable[[Tensor], Tensor]) -> float:
        z = pgd(lambda z: cross_entropy(logits(z), y), ball, x, [0.05] * 20)
        with torch.no_grad():
            return (model(z).argmax(1) == y).float().mean().item()

    plain = robust(model)
    assert 0.02 < plain < 0.9
    assert robust(FrozenModel(model, "exact").logits) == pytest.approx(plain, abs=0.004)
    assert robust(FrozenModel(model, "fast").logits) == pytest.approx(plain, abs=0.012)
