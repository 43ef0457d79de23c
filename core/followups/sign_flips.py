"""Sign flips: non-robust features generalise, yet a small perturbation turns them against the model."""

from __future__ import annotations

from collections.abc import Mapping

from core.cards import Catalogue, Node
from core.claims import Claim, Control, above, below
from core.findings import Conclusion, Figures, Plot, PublishedFigure, Series
from core.followups.graph import Found, Graph, SeedGraph
from core.kinds import train
from core.measure import Measure, rate
from core.planning import dataset_card
from sieve.specs import EvaluationRecipe, SignFlipsSpec, Threat, TrainSpec

SOURCE = "Ilyas et al. 2019, arXiv 1905.02175: non-robust features are predictive, and an adversary can flip them"
PUBLISHED = (
    PublishedFigure("D_rand on CIFAR-10: standard accuracy", "63.3 %", SOURCE, "read"),
    PublishedFigure("D_rand on CIFAR-10: l2 eps 0.25", "0 %", SOURCE, "read"),
)
ROWS = ("D", "D_adv", "D_R", "D_NR", "D_rand")


def check(spec: SignFlipsSpec, catalogue: Catalogue) -> None:
    """Dataset and architecture exist and fit."""
    dataset_card(catalogue, spec.dataset, "/dataset")
    train.check(TrainSpec(dataset=spec.dataset, architecture=spec.architecture, batch_size=2), catalogue)


def expand(spec: SignFlipsSpec) -> list[Node]:
    """For each seed the five models, judged at every radius and noise."""
    graph = Graph(spec)
    threats = (Threat(norm=spec.norm, epsilons=spec.epsilons),)
    recipe = EvaluationRecipe(threats=threats, noise=spec.noise)
    for seed in spec.seeds:
        jobs = SeedGraph(graph, spec, seed)
        models = {"D_adv": jobs.train("D_adv", spec.adversarial_training), "D": jobs.train("D", spec.training)}
        made = {
            "D_R": jobs.synthesize("D_R", spec.robust, models["D_adv"]),
            "D_NR": jobs.synthesize("D_NR", spec.robust, models["D"]),
            "D_rand": jobs.synthesize("D_rand", spec.random_target, models["D"]),
        }
        for row, dataset in made.items():
            models[row] = jobs.train(row, spec.on_targets if row == "D_rand" else spec.training, dataset)
        for row in ROWS:
            jobs.evaluate(row, models[row], recipe=recipe)
        shuffled = jobs.train("D_rand_permuted", spec.on_targets, made["D_rand"], permuted_from="D_rand")
        jobs.evaluate("D_rand_permuted", shuffled)
    return graph.concluded()


def conclude(spec: SignFlipsSpec, figures: Mapping[str, Figures]) -> Conclusion:
    """Ask where each model falls below chance: there its features speak for the wrong class."""
    found = Found(spec, figures)
    images = found.test_images
    chance = round(100 / found.of("synthesize", "D_rand")[0]["classes"], 4)
    epsilons, noises = sorted(spec.epsilons), sorted(spec.noise)
    middle, loudest = epsilons[len(epsilons) // 2], noises[-1]
    clean = {
        row: rate(f"clean accuracy, trained on {row}", found.one_each("evaluate", row, "standard"), images)
        for row in ROWS
    }

    shuffled = rate(
        "clean accuracy, trained on D_rand with its labels permuted",
        found.one_each("evaluate", "D_rand_permuted", "standard"),
        images,
    )

    def attacked(row: str, epsilon: float) -> Measure:
        values = [[one["robust"][spec.norm][f"{epsilon:g}"]] for one in found.of("evaluate", row)]
        return rate(f"accuracy at {spec.norm} {epsilon:g}, trained on {row}", values, images)

    def noisy(row: str, deviation: float) -> Measure:
        values = [[one["noise"][f"{deviation:g}"]] for one in found.of("evaluate", row)]
        return rate(f"accuracy under noise of {deviation:g}, trained on {row}", values, images)

    robust = {(row, epsilon): attacked(row, epsilon) for row in ROWS for epsilon in epsilons}
    noise = {(row, deviation): noisy(row, deviation) for row in ROWS for deviation in noises}
    control = "the adversarially trained model"
    return Conclusion(
        title=f"Sign flips, on {spec.dataset.name}",
        question="Do non-robust features generalise, and does a small perturbation turn them against the model?",
        source=SOURCE,
        dataset=spec.dataset.name,
        claims=(
            Claim(
                "generalise",
                "What D_rand teaches generalises to clean test images",
                above(chance, "chance"),
                clean["D_rand"],
                Control("D_rand's images with its labels permuted", shuffled),
            ),
            Claim(
                "flip",
                f"An attack of {spec.norm} {middle:g} flips it: the model falls below chance",
                below(chance, "chance"),
                robust["D_rand", middle],
                Control(control, robust["D_adv", middle]),
            ),
            Claim(
                "noise",
                f"Noise of deviation {loudest:g} flips it as well",
                below(chance, "chance"),
                noise["D_rand", loudest],
                Control(control, noise["D_adv", loudest]),
            ),
        ),
        measures=(*clean.values(), shuffled, *robust.values(), *noise.values()),
        setting="CIFAR-10, ResNet-50",
        published=PUBLISHED,
        plots=(
            _plot("Against the size of an attack", f"epsilon ({spec.norm})", (0.0, *epsilons), clean, robust),
            _plot("Against noise", "standard deviation of the noise", (0.0, *noises), clean, noise),
        ),
    )


def _plot(
    title: str,
    x: str,
    levels: tuple[float, ...],
    clean: Mapping[str, Measure],
    held: Mapping[tuple[str, float], Measure],
) -> Plot:
    def series(row: str) -> Series:
        of = [clean[row], *(held[row, level] for level in levels[1:])]
        return Series(
            row,
            levels,
            tuple(one.mean for one in of),
            tuple(one.low for one in of),
            tuple(one.high for one in of),
        )

    return Plot(
        title, "0 is the clean test set. Bars are 95 % intervals.", "lines", x, "accuracy, %", tuple(map(series, ROWS))
    )
