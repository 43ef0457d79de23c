"""The Gaussian model: descent against the closed forms, which it does not know."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.gaussian import Moved, closed_form, descend, loss, pointwise, pointwise_closed_form, relaxed
from core.seeding import generator

MEAN = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
COVARIANCES = {
    "correlated": [[1.0, 0.5, 0.2], [0.5, 2.0, -0.3], [0.2, -0.3, 0.7]],
    "nearly singular": [[4.0, 1.9, 0.0], [1.9, 1.0, 0.0], [0.0, 0.0, 0.1]],
    "small": [[0.3, -0.1, 0.05], [-0.1, 0.2, 0.1], [0.05, 0.1, 0.5]],
}
ONE = torch.ones(1, 1, dtype=torch.float64)


def matrix(name: str) -> Tensor:
    return torch.tensor(COVARIANCES[name], dtype=torch.float64)


@pytest.mark.parametrize("epsilon", [0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", COVARIANCES)
def test_descent_ends_at_the_closed_form(name: str, epsilon: float) -> None:
    covariance = matrix(name)
    mean, found, _ = descend(relaxed(MEAN, covariance, epsilon), 3)
    expected = closed_form(covariance, epsilon)
    assert float((found - expected).norm() / expected.norm()) < 1e-6, "asked: 1e-4"
    assert float((mean - MEAN).norm()) < 1e-6
    assert float((expected - covariance).norm() / covariance.norm()) > 0.05, "which is not the plain optimum"


def test_without_an_adversary_it_is_maximum_likelihood() -> None:
    covariance = matrix("correlated")
    mean, found, _ = descend(relaxed(MEAN, covariance, 0.0), 3)
    assert torch.allclose(found, covariance, atol=1e-6)
    assert torch.allclose(mean, MEAN, atol=1e-6)
    assert torch.equal(closed_form(covariance, 0.0), covariance)


def test_the_closed_form_is_the_papers_equation() -> None:
    covariance, epsilon = matrix("correlated"), 0.7
    robust = closed_form(covariance, epsilon)
    one = torch.eye(3, dtype=torch.float64)
    # In each direction r = s/2 + u + sqrt(s u + s^2/4) with u = 1/lambda; squared and solved: u = r - sqrt(r s).
    values, r = torch.linalg.eigvalsh(covariance), torch.linalg.eigvalsh(robust)
    inverse = r - (r * values).sqrt()
    assert float(inverse.max() - inverse.min()) < 1e-9, "one lambda in all directions"
    away = torch.linalg.inv(robust / inverse.mean() - one)
    assert float(torch.trace(away @ away @ covariance)) == pytest.approx(epsilon**2, abs=1e-9)


def test_the_relaxed_adversary_moves_as_much_as_it_may_and_gains_most() -> None:
    covariance, epsilon = matrix("correlated"), 0.5
    s = matrix("small") + torch.eye(3, dtype=torch.float64)
    answer = relaxed(MEAN, covariance, epsilon)(MEAN, s)
    worst = float(loss(MEAN, s, answer))
    draws = generator(0, "other adversaries")
    for _ in range(300):  # other linear moves of the same size do less
        a = torch.randn(3, 3, dtype=torch.float64, generator=draws)
        a *= epsilon / torch.trace(a @ covariance @ a.T).sqrt()
        by = torch.eye(3, dtype=torch.float64) + a
        other = Moved(MEAN, by @ covariance @ by.T + torch.outer(MEAN, MEAN))
        assert float(loss(MEAN, s, other)) <= worst + 1e-12
    still = Moved(MEAN, covariance + torch.outer(MEAN, MEAN))
    assert float(loss(MEAN, s, still)) < worst


def test_in_one_dimension_the_two_adversaries_differ() -> None:
    _, by_moments, _ = descend(relaxed(ONE[0], ONE, 0.5), 1)
    _, by_points, _ = descend(pointwise(ONE[0], ONE, 0.5, 50_000, generator(0, "gaussian")), 1)
    assert float(by_moments) == pytest.approx(2.25, abs=1e-6)
    assert float(by_points) == pytest.approx(2.0479, abs=0.01), "Monte Carlo"
    assert pointwise_closed_form(1.0, 0.5) == pytest.approx(2.0479, abs=1e-4)


def test_the_pointwise_adversary_stays_in_its_ball_in_any_dimension() -> None:
    covariance = matrix("correlated")
    adversary = pointwise(MEAN, covariance, 0.5, 2000, generator(0, "gaussian"))
    mean, found, _ = descend(adversary, 3)
    assert float((mean - MEAN).norm()) < 1e-6
    plain, bound = torch.trace(covariance), torch.trace(closed_form(covariance, 0.5))
    assert plain < torch.trace(found) < bound, "it may do what the relaxed one may, and less"
