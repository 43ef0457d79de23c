"""Balls: steps, projections and random starts, image by image."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core.seeding import generator
from core.threat import NORMS, Ball
from sieve.specs import Norm

TABLE: list[tuple[Norm, float]] = [("l2", 0.25), ("l2", 3.0), ("linf", 8 / 255), ("linf", 0.5)]


def images(n: int = 64, shape: tuple[int, int, int] = (3, 16, 16)) -> Tensor:
    return torch.rand(n, *shape, generator=generator(0, "images"))


@pytest.mark.parametrize(("name", "epsilon"), TABLE)
def test_steps_and_random_starts_stay_in_the_ball_and_in_the_box(name: Norm, epsilon: float) -> None:
    ball = Ball(NORMS[name], images(), epsilon)
    z = ball.random_start(generator(1, "start"))
    for step in range(5):
        assert (ball.norm.length(z.double() - ball.center.double()) <= epsilon * (1 + 1e-6)).all()
        assert z.min() >= 0
        assert z.max() <= 1
        z = ball.step(z, torch.randn(z.shape, generator=generator(2, "gradient", step)), 0.7 * epsilon)


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1.0, 1e30])
def test_a_step_has_its_length_whatever_the_scale_of_the_gradient(name: Norm, scale: float) -> None:
    gradient = scale * torch.randn(8, 3, 16, 16, generator=generator(0, "gradient"))
    assert (gradient != 0).any()
    lengths = NORMS[name].length(NORMS[name].direction(gradient))
    torch.testing.assert_close(lengths, torch.ones(8), rtol=1e-3 if scale < 1e-38 else 1e-5, atol=0)


@pytest.mark.parametrize("name", NORMS)
def test_without_a_gradient_there_is_no_step(name: Norm) -> None:
    ball = Ball(NORMS[name], images(), 0.5)
    assert torch.equal(ball.step(ball.center, torch.zeros_like(ball.center), 0.1), ball.center)


@pytest.mark.parametrize("name", NORMS)
def test_each_image_is_normalised_and_projected_alone(name: Norm) -> None:
    ball = Ball(NORMS[name], images(4), 0.3)
    gradient = torch.randn(4, 3, 16, 16, generator=generator(0, "gradient"))
    together = ball.step(ball.center, gradient * torch.tensor([1e-6, 1.0, 1e3, 0.0]).reshape(4, 1, 1, 1), 0.2)
    for at in range(3):
        alone = Ball(ball.norm, ball.center[at : at + 1], 0.3)
        torch.testing.assert_close(together[at : at + 1], alone.step(alone.center, gradient[at : at + 1].clone(), 0.2))


def test_an_epsilon_of_zero_leaves_the_image() -> None:
    for norm in NORMS.values():
        ball = Ball(norm, images(), 0.0)
        z = ball.random_start(generator(0, "start"))
        assert torch.equal(ball.step(z, torch.ones_like(z), 0.0), ball.center)


def test_random_starts_are_uniform_in_the_l2_ball() -> None:
    n, d = 4000, 12
    delta = NORMS["l2"].uniform(torch.empty(n, 3, 2, 2), generator(0, "uniform")).flatten(1).double()
    # The radius of a uniform point is distributed as u^(1/d): its d-th power is uniform (Kolmogorov-Smirnov, 0.1 %).
    u = delta.norm(dim=1).pow(d).sort().values
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    assert torch.maximum((u - steps[:-1]).abs(), (steps[1:] - u).abs()).max() < 1.95 / math.sqrt(n)
    # No direction is preferred: second moments are those of the ball, 1 / (d + 2) each.
    moments = delta.T @ delta / n
    assert (moments - torch.eye(d) / (d + 2)).abs().max() < 0.006
    assert delta.mean(0).abs().max() < 0.02


def test_random_starts_are_uniform_in_the_linf_ball() -> None:
    delta = NORMS["linf"].uniform(torch.empty(500, 3, 4, 4), generator(0, "uniform")).flatten().sort().values
    assert (delta - torch.linspace(-1, 1, len(delta))).abs().max() < 2 * 1.95 / math.sqrt(len(delta))
