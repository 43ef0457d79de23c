"""Robust-feature leakage (Goh, Distill 2019): what D_rand and D_det teach through robust features alone."""

from __future__ import annotations

from collections.abc import Mapping

from core.cards import Catalogue, Node
from core.claims import Claim, Control, above, not_above
from core.findings import Conclusion, Figures, Plot, PublishedFigure, Series
from core.followups.graph import Found, Graph, SeedGraph
from core.kinds import train
from core.measure import Measure, computed, rate
from core.planning import dataset_card
from sieve.specs import LeakageSpec, TrainSpec
from sieve.specs.probe import Features

SOURCE = "Goh, Distill 2019, distill.pub/2019/advex-bugs-discussion/response-2"
PUBLISHED = (
    PublishedFigure("certified linear features learnt from D_rand, read on the test set", "23.5 %", SOURCE, "read"),
    PublishedFigure("the same from D_det", "6.81 %, no evidence of leakage", SOURCE, "memory"),
    PublishedFigure("radius of the l2 ball that the features are certified for", "0.25", SOURCE, "read"),
)
VARIANTS = ("linear", "deep")
ROWS = ("D_rand", "D_rand_permuted", "D_det", "D")


def check(spec: LeakageSpec, catalogue: Catalogue) -> None:
    """Dataset and architecture exist and fit."""
    dataset_card(catalogue, spec.dataset, "/dataset")
    train.check(TrainSpec(dataset=spec.dataset, architecture=spec.architecture, batch_size=2), catalogue)


def expand(spec: LeakageSpec) -> list[Node]:
    """For each seed a source and a robust model; four probes on the features of the latter, and on linear ones."""
    graph = Graph(spec)
    for seed in spec.seeds:
        jobs = SeedGraph(graph, spec, seed)
        robust = jobs.train("D_adv", spec.adversarial_training)
        source = jobs.train("D", spec.training)
        random = jobs.synthesize("D_rand", spec.random_target, source)
        fixed = jobs.synthesize("D_det", spec.deterministic_target, source)
        jobs.evaluate("D", source)
        jobs.evaluate("D_adv", robust, readings=[random, fixed])
        both: dict[str, Features] = {"linear": spec.linear, "deep": spec.deep_features(robust.name)}
        for variant, features in both.items():
            jobs.probe(f"{variant}/D_rand", features, random)
            jobs.probe(f"{variant}/D_rand_permuted", features, random, permute_labels=True)
            jobs.probe(f"{variant}/D_det", features, fixed)
            jobs.probe(f"{variant}/D", features)
        jobs.students("D_rand", spec.on_targets, random)
    return graph.concluded()


def conclude(spec: LeakageSpec, figures: Mapping[str, Figures]) -> Conclusion:
    """Compare each probe with chance."""
    found = Found(spec, figures)
    images = found.test_images
    classes = found.of("synthesize", "D_rand")[0]["classes"]
    chance = round(100 / classes, 4)
    probes = {
        (variant, row): rate(
            f"accuracy of {variant} robust features fitted to {row.replace('_permuted', ', labels permuted')}",
            found.one_each("probe", f"{variant}/{row}", "standard"),
            images,
            trained=False,
        )
        for variant in VARIANTS
        for row in ROWS
    }
    whole = rate("accuracy of networks trained on all of D_rand", found.students("D_rand", "standard"), images)
    certified = found.of("probe", "linear/D")
    useful = computed(
        "linear features that are robustly useful, worst seed", min(one["features_useful"] for one in certified)
    )
    constant = rate(
        "test images whose linear reading no perturbation changes",
        [[one["certified_constant"]] for one in certified],
        images,
        trained=False,
    )
    claims = []
    for variant in VARIANTS:
        claims.append(
            Claim(
                f"{variant} D_rand",
                f"D_rand can be learnt in part from robust features alone ({variant})",
                above(chance, "chance"),
                probes[variant, "D_rand"],
                Control("D_rand's images with its labels permuted", probes[variant, "D_rand_permuted"]),
            )
        )
        claims.append(
            Claim(
                f"{variant} D_det",
                f"There is no evidence that D_det leaks robust features ({variant})",
                not_above(chance, "chance"),
                probes[variant, "D_det"],
                Control("the dataset itself, where robust features are useful", probes[variant, "D"]),
            )
        )
    return Conclusion(
        title=f"Robust-feature leakage, on {spec.dataset.name}",
        question="How much of what D_rand and D_det teach can be learnt from robust features alone?",
        source=SOURCE,
        dataset=spec.dataset.name,
        claims=tuple(claims),
        measures=(*probes.values(), whole, useful, constant),
        setting="CIFAR-10, chance 10 %",
        published=PUBLISHED,
        plots=(_plot(probes, chance),),
        notes=_notes(spec, useful, constant, certified[0]["features"]),
    )


def _notes(spec: LeakageSpec, useful: Measure, constant: Measure, features: int) -> tuple[str, ...]:
    enough = useful.mean == features and constant.mean >= 80
    return (
        f"Linear features: weights of a linear classifier trained against an l2 adversary of {spec.linear.epsilon:g}. "
        f"Certified on the test images: {useful.mean:g} of {features} are robustly useful for a class, and on "
        f"{constant.text()} of the images no perturbation changes the reading. Goh asks for all of them, and for 80 %: "
        + ("met." if enough else "not met here, so the linear figures rest on features that are not certified robust."),
        f"Deep features ({spec.deep}) are those of an adversarially trained network. Nothing certifies them.",
        "A linear probe gives a lower bound: that it finds nothing does not show that nothing is there.",
    )


def _plot(probes: Mapping[tuple[str, str], Measure], chance: float) -> Plot:
    names = tuple(row.replace("_permuted", ", permuted") for row in ROWS)

    def series(variant: str) -> Series:
        of = [probes[variant, row] for row in ROWS]
        return Series(
            f"{variant} features",
            names,
            tuple(one.mean for one in of),
            tuple(one.low for one in of),
            tuple(one.high for one in of),
        )

    return Plot(
        "What robust features alone learn",
        f"Accuracy on the clean test images of a linear classifier on robust features; chance is {chance:g} %.",
        "bars",
        "",
        "accuracy, %",
        tuple(map(series, VARIANTS)),
    )
