"""The Gaussian model of Ilyas et al. (2019), section 4: N(y mu, Sigma) fitted against an adversary.

With y x in place of x there is one Gaussian, and the loss of parameters (m, S) is
-log N(x + delta; m, S) = (x + delta - m)' P (x + delta - m) / 2 + log det(S) / 2 + const, P = S^-1.
Its population mean under the worst adversary is made small by natural gradient descent on m and S: the gradient is that
of the loss at the adversary's answer (Danskin), the metric is Fisher's. The adversary's answer is searched by power
iteration. Nothing here knows the paper's solution; `closed_form` states it, for comparison alone.

All in float64. Shape legend: d dimensions, n points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.context import Context, Inputs, Result
from core.seeding import generator
from sieve.specs import GaussianFitSpec

STEPS = 5000
INNER = 2000
TOLERANCE = 1e-10
"""Relative: a search has come to rest where a step moves its answer by less."""


@dataclass(frozen=True)
class Moved:
    """What an adversary makes of the data: first and second moments of x + delta."""

    mean: Tensor
    """[d]."""
    second: Tensor
    """E (x + delta)(x + delta)', [d, d]."""


Adversary = Callable[[Tensor, Tensor], Moved]
"""Its answer to parameters m [d] and S [d, d]."""


def gaussian_fit(spec: GaussianFitSpec, inputs: Inputs, context: Context) -> Result:
    """Fit the model, and say how far the result lies from the closed forms."""
    del inputs
    mean = torch.tensor(spec.mean, dtype=torch.float64)
    covariance = torch.tensor(spec.covariance, dtype=torch.float64)
    if spec.adversary == "relaxed":
        adversary = relaxed(mean, covariance, spec.epsilon)
    else:
        adversary = pointwise(mean, covariance, spec.epsilon, spec.draws, generator(spec.seed, "gaussian"))
    fitted_mean, fitted, steps = descend(adversary, len(mean), context)
    relaxed_form = closed_form(covariance, spec.epsilon)
    figures: dict[str, Any] = {
        "mean": fitted_mean.tolist(),
        "covariance": fitted.tolist(),
        "steps": steps,
        "closed_form": relaxed_form.tolist(),
        "error": float((fitted - relaxed_form).norm() / relaxed_form.norm()),
        "mean_error": float((fitted_mean - mean).norm() / mean.norm().clamp_min(1e-300)),
        "alignment": float(torch.cosine_similarity(torch.linalg.solve(fitted, mean), mean, dim=0)),
    }
    if len(mean) == 1:
        figures["pointwise_closed_form"] = pointwise_closed_form(float(covariance), spec.epsilon)
    return Result(figures)


def descend(adversary: Adversary, dimensions: int, context: Context | None = None) -> tuple[Tensor, Tensor, int]:
    """m and S that make the loss under the adversary small, from m = 0 and S = 1; and the steps that it took.

    Each step is halved until the worst loss does not rise.
    """
    m, s = torch.zeros(dimensions, dtype=torch.float64), torch.eye(dimensions, dtype=torch.float64)
    moved = adversary(m, s)
    value = float(loss(m, s, moved))
    for step in range(STEPS):
        if context is not None and step % 100 == 0:
            context.progress("descent", step, STEPS)
        m_free, s_free = m.clone().requires_grad_(), s.clone().requires_grad_()
        by_mean, by_covariance = torch.autograd.grad(loss(m_free, s_free, moved), (m_free, s_free))
        by_mean, by_covariance = s @ by_mean, s @ (by_covariance + by_covariance.T) @ s
        length = 0.5
        while True:
            tried_m, tried_s = m - length * by_mean, s - length * by_covariance
            if torch.linalg.cholesky_ex(tried_s).info == 0:
                answer = adversary(tried_m, tried_s)
                found = float(loss(tried_m, tried_s, answer))
                if found <= value or length < 1e-9:
                    break
            length /= 2
        change = float((tried_s - s).norm() / s.norm() + (tried_m - m).norm() / (1 + m.norm()))
        m, s, moved, value = tried_m, tried_s, answer, min(value, found)
        if change < TOLERANCE:
            return m, s, step + 1
    return m, s, STEPS


def loss(m: Tensor, s: Tensor, moved: Moved) -> Tensor:
    """Mean of -log N(x + delta; m, S), without its constant."""
    about = moved.second - torch.outer(moved.mean, m) - torch.outer(m, moved.mean) + torch.outer(m, m)
    value: Tensor = (torch.trace(torch.linalg.solve(s, about)) + torch.logdet(s)) / 2
    return value


def relaxed(mean: Tensor, covariance: Tensor, epsilon: float) -> Adversary:
    """The adversary that moves points by delta with E ||delta||^2 = epsilon^2.

    Its best answer is linear, delta = A z with z = x - m: what is not linear in z gains at most the largest eigenvalue
    of P for its squared length, a linear part more. A is found by power iteration on the sphere tr(A T A') = epsilon^2,
    T = E z z': maximising a convex function, each step goes to the point of the sphere that its gradient shows to.
    """
    one = torch.eye(len(mean), dtype=torch.float64)
    last = torch.zeros_like(one)

    def answer(m: Tensor, s: Tensor) -> Moved:
        nonlocal last
        away = mean - m
        second = covariance + torch.outer(away, away)
        precision = torch.linalg.inv(s)
        a = last  # the parameters have moved a little since
        if epsilon:
            for _ in range(INNER):
                gradient = precision @ (one + a)
                next_a = gradient * (epsilon / torch.trace(gradient @ second @ gradient.T).sqrt())
                change = float((next_a - a).norm() / next_a.norm())
                a = next_a
                if change < TOLERANCE:
                    break
            last = a
        by = one + a
        moved_mean = m + by @ away
        spread = by @ covariance @ by.T
        return Moved(moved_mean, spread + torch.outer(moved_mean, moved_mean))

    return answer


def pointwise(mean: Tensor, covariance: Tensor, epsilon: float, draws: int, generator: torch.Generator) -> Adversary:
    """The adversary that moves each point by ||delta|| <= epsilon, met on a sample of the population.

    Each delta is found by power iteration on its sphere. The sample is brought to exactly the data's two moments, so
    that what is left of Monte Carlo's error is in the adversary's part alone.
    """
    raw = torch.randn(draws, len(mean), dtype=torch.float64, generator=generator)
    raw = torch.cat([raw, -raw])
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(raw.T @ raw / len(raw)), raw.T, upper=False).T
    x = mean + whitened @ torch.linalg.cholesky(covariance).T

    def answer(m: Tensor, s: Tensor) -> Moved:
        precision = torch.linalg.inv(s)
        z = x - m
        delta = torch.zeros_like(z)
        for _ in range(1 if len(mean) == 1 else 200):
            gradient = (z + delta) @ precision
            next_delta = gradient * (epsilon / gradient.norm(dim=1, keepdim=True).clamp_min(1e-300))
            change = float((next_delta - delta).norm() / max(float(next_delta.norm()), 1e-300))
            delta = next_delta
            if change < TOLERANCE:
                break
        moved = x + delta
        return Moved(moved.mean(0), moved.T @ moved / len(moved))

    return answer


def closed_form(covariance: Tensor, epsilon: float) -> Tensor:
    """The relaxed adversary's optimum (Ilyas et al. 2019, theorem 2): the paper's formula, with lambda by bisection.

    S = Sigma/2 + 1/lambda + (Sigma/lambda + Sigma^2/4)^(1/2) with tr[(lambda S - 1)^-2 Sigma] = epsilon^2.
    """
    if not epsilon:
        return covariance
    values, vectors = torch.linalg.eigh(covariance)

    def solution(multiplier: float) -> Tensor:
        robust: Tensor = values / 2 + 1 / multiplier + (values / multiplier + values.square() / 4).sqrt()
        return robust

    low, high = -60.0, 60.0  # of log lambda; the trace falls as lambda rises
    for _ in range(200):
        middle = (low + high) / 2
        multiplier = math.exp(middle)
        moved = float((values / (multiplier * solution(multiplier) - 1).square()).sum())
        low, high = (middle, high) if moved > epsilon**2 else (low, middle)
    robust: Tensor = vectors @ torch.diag(solution(math.exp(low))) @ vectors.T
    return robust


def pointwise_closed_form(variance: float, epsilon: float) -> float:
    """The pointwise adversary's optimum in one dimension, E (|z| + epsilon)^2 for z of this variance."""
    return variance + 2 * epsilon * math.sqrt(2 * variance / math.pi) + epsilon**2
