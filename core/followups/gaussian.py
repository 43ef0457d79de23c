"""The Gaussian model (Ilyas et al. 2019, section 4): robust learning reshapes the metric, seen in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from core.cards import Catalogue, Node
from core.claims import Claim, Control, above, below
from core.findings import Conclusion, Figures, Plot, PublishedFigure, Series
from core.followups.graph import Graph
from core.measure import computed
from core.tables import Table
from sieve.specs import GaussianFitSpec, GaussianSpec

SOURCE = "Ilyas et al. 2019, arXiv 1905.02175, section 4"
PUBLISHED = (
    PublishedFigure(
        "the robust covariance under the relaxed adversary",
        "S/2 + 1/lambda + (S/lambda + S^2/4)^(1/2), tr[(lambda S_r - 1)^-2 S] = eps^2",
        SOURCE + ", theorem 2",
        "memory",
    ),
    PublishedFigure(
        "the gradient of the robust classifier aligns better with the vector between the means",
        "a theorem; no figure",
        SOURCE + ", theorem 3",
        "memory",
    ),
)
ONE = 0.5
"""Size of the adversary in the one-dimensional check, with variance 1."""


def check(spec: GaussianSpec, catalogue: Catalogue) -> None:
    """The spec says it all."""
    del spec, catalogue


def expand(spec: GaussianSpec) -> list[Node]:
    """A fit for each covariance and epsilon, none included; the same for a round covariance; one dimension twice."""
    graph = Graph(spec)
    size = len(spec.mean)
    round_one = tuple(tuple(float(i == j) for j in range(size)) for i in range(size))
    for at, covariance in [*enumerate(spec.covariances), ("round", round_one)]:
        for epsilon in (0.0, *spec.epsilons):
            fit = GaussianFitSpec(mean=spec.mean, covariance=covariance, epsilon=epsilon)
            graph.add(f"fit/{at}/{epsilon:g}", fit)
    for adversary in ("relaxed", "pointwise"):
        values = {"mean": (1.0,), "covariance": ((1.0,),), "epsilon": ONE, "adversary": adversary}
        graph.add(f"one/{adversary}", GaussianFitSpec.model_validate(values | {"draws": spec.draws, "seed": spec.seed}))
    return graph.concluded()


def conclude(spec: GaussianSpec, figures: Mapping[str, Figures]) -> Conclusion:
    """Compare the descents with the closed forms, and the directions of the classifiers with that between the means."""
    numbers = range(len(spec.covariances))
    fits = {(at, epsilon): figures[f"fit/{at}/{epsilon:g}"] for at in numbers for epsilon in (0.0, *spec.epsilons)}
    relaxed, pointwise = figures["one/relaxed"], figures["one/pointwise"]
    worst = computed(
        "the largest relative error (Frobenius)", max(fits[at, e]["error"] for at in numbers for e in spec.epsilons)
    )
    other = computed("the relative error of the pointwise adversary's optimum", pointwise["error"])
    largest = max(spec.epsilons)
    gain = computed(
        "the least gain of the cosine over all covariances",
        min(fits[at, largest]["alignment"] - fits[at, 0.0]["alignment"] for at in numbers),
    )
    no_gain = computed(
        "the gain of the cosine", figures[f"fit/round/{largest:g}"]["alignment"] - figures["fit/round/0"]["alignment"]
    )
    one = [
        computed("variance in one dimension, relaxed adversary (descent)", relaxed["covariance"][0][0]),
        computed("the same by the closed form", relaxed["closed_form"][0][0]),
        computed(
            "variance in one dimension, pointwise adversary (descent, Monte Carlo)", pointwise["covariance"][0][0]
        ),
        computed("the same by its closed form", pointwise["pointwise_closed_form"]),
    ]
    return Conclusion(
        title="Two Gaussians and an adversary",
        question="What does maximum likelihood learn when every point may be moved a little?",
        source=SOURCE,
        dataset="two Gaussians",
        claims=(
            Claim(
                "closed form",
                "Gradient descent on the covariance ends at the paper's closed form for the relaxed adversary",
                below(1e-4, "of the norm of the closed form"),
                worst,
                Control("another adversary, the pointwise one, held against the same closed form", other),
            ),
            Claim(
                "alignment",
                "The robust classifier's gradient points more along the line between the means",
                above(1e-6, "more than none"),
                gain,
                Control("a round covariance, whose gradient points along it from the beginning", no_gain),
            ),
        ),
        measures=(worst, other, gain, no_gain, *one),
        setting="theorems",
        published=PUBLISHED,
        tables=(_table(fits),),
        plots=tuple(_drawn(spec, fits)) if len(spec.mean) == 2 else (),
        notes=(
            "The descent knows the population's moments and the adversary's answer, which is searched by power "
            "iteration; it uses neither the closed form nor the equation that belongs to it.",
            f"In one dimension (variance 1, epsilon {ONE:g}) the relaxed adversary gives "
            f"{relaxed['covariance'][0][0]:.4f} and the pointwise one {pointwise['covariance'][0][0]:.4f}: they are "
            "different adversaries.",
        ),
    )


def _table(fits: Mapping[tuple[int, float], Figures]) -> Table:
    rows = []
    for (at, epsilon), found in fits.items():
        shown = "; ".join(" ".join(f"{value:.4f}" for value in row) for row in found["covariance"])
        rows.append(
            (f"covariance {at}, epsilon {epsilon:g}", shown, f"{found['error']:.1e}", f"{found['mean_error']:.1e}",
             f"{found['alignment']:.4f}", str(found["steps"]))
        )  # fmt: skip
    columns = ("fit", "covariance found, rows", "relative error", "error of the mean", "cosine", "steps")
    note = "Cosine: of the classifier's gradient and the vector between the means."
    return Table("Fits", columns, tuple(rows), note)


def _drawn(spec: GaussianSpec, fits: Mapping[tuple[int, float], Figures]) -> Iterator[Plot]:
    """As the paper's figure 4: for each epsilon the fitted Gaussians as ellipses, and the gradient field."""
    reach = 3.2 * math.sqrt(max(spec.covariances[0][i][i] for i in range(2))) + max(map(abs, spec.mean))
    for epsilon in (0.0, *spec.epsilons):
        found = fits[0, epsilon]
        yield Plot(
            f"Adversary of size {epsilon:g}" if epsilon else "No adversary: maximum likelihood",
            "Ellipses: one and two deviations of the fitted Gaussians of the two classes. Arrows: the gradient of the "
            "loss of the class in the upper right; the dashed line joins the means.",
            "lines",
            "x1",
            "x2",
            (
                *_ellipses(found, 1, "class 1"),
                *_ellipses(found, -1, "class -1"),
                Series(
                    "between the means",
                    (-found["mean"][0], found["mean"][0]),
                    (-found["mean"][1], found["mean"][1]),
                    dash="dash",
                ),
                _field(found, reach),
            ),
            square=True,
        )


def _ellipses(found: Figures, sign: int, name: str) -> Iterator[Series]:
    (a, b), (_, c) = found["covariance"]
    lower = (math.sqrt(a), b / math.sqrt(a), math.sqrt(c - b * b / a))
    for deviations in (1, 2):
        turns = [2 * math.pi * at / 72 for at in range(73)]
        yield Series(
            name if deviations == 1 else f"{name}, two deviations",
            tuple(round(sign * found["mean"][0] + deviations * lower[0] * math.cos(t), 4) for t in turns),
            tuple(
                round(sign * found["mean"][1] + deviations * (lower[1] * math.cos(t) + lower[2] * math.sin(t)), 4)
                for t in turns
            ),
            dash="solid" if deviations == 1 else "dot",
            like=name,
        )


def _field(found: Figures, reach: float) -> Series:
    """The gradient of -log p(class 1 | x) by x: -2 p(class -1 | x) S^-1 mu, drawn on a grid, longest arrows alike."""
    w = _solved(found["covariance"], found["mean"])
    length = 0.16 * reach / math.hypot(*w)
    grid = [reach * (2 * at / 8 - 1) for at in range(9)]
    x, y = [], []
    for right in grid:
        for up in grid:
            other = 1 / (1 + math.exp(min(60.0, 2 * (w[0] * right + w[1] * up))))
            x += [round(right, 4), round(right - length * other * w[0], 4)]
            y += [round(up, 4), round(up - length * other * w[1], 4)]
    return Series("gradient of the loss", tuple(x), tuple(y), mark="arrows")


def _solved(covariance: Sequence[Sequence[float]], mean: Sequence[float]) -> tuple[float, float]:
    """S^-1 mu, in two dimensions."""
    (a, b), (_, c) = covariance
    determinant = a * c - b * b
    return (c * mean[0] - b * mean[1]) / determinant, (a * mean[1] - b * mean[0]) / determinant
