"""Not real features (Li et al., NeurIPS 2023): D_R under stronger attacks, D_NR where no labels are learnt."""

from __future__ import annotations

from collections.abc import Mapping

from core.cards import Catalogue, Node
from core.claims import Claim, Control, below
from core.findings import Conclusion, Figures, Plot, PublishedFigure, Series
from core.followups.graph import Found, Graph, SeedGraph
from core.kinds import train
from core.measure import Measure, difference, rate
from core.planning import check_attacks, dataset_card
from core.studies import training_seed
from sieve.specs import (
    PGD,
    AttackRef,
    EvaluationRecipe,
    ModelRef,
    NotRealSpec,
    PenultimateFeatures,
    PretrainSpec,
    Threat,
    TrainSpec,
)

SOURCE = "Li et al., NeurIPS 2023, arXiv 2310.18936"
PUBLISHED = (
    PublishedFigure(
        "non-robust features are of poor use in contrastive learning, masked image modelling and diffusion models",
        "stated in the abstract; figures not quoted here",
        SOURCE,
        "read",
    ),
    PublishedFigure(
        "encoders trained naturally from robust features are largely non-robust under AutoAttack",
        "stated in the abstract; figures not quoted here",
        SOURCE,
        "read",
    ),
)
ENCODED = ("D", "D_R", "D_NR")
HALF = 0.5


def check(spec: NotRealSpec, catalogue: Catalogue) -> None:
    """Dataset, architecture and attacks exist and fit."""
    dataset_card(catalogue, spec.dataset, "/dataset")
    train.check(TrainSpec(dataset=spec.dataset, architecture=spec.architecture, batch_size=2), catalogue)
    check_attacks(spec.attacks, "/attacks")


def recipes(spec: NotRealSpec) -> dict[str, EvaluationRecipe]:
    """The paper's own attack, and the stronger ones, at the adversary's radius."""
    adversary = spec.adversarial_training.adversary
    assert isinstance(adversary, PGD)
    threat = (Threat(norm=adversary.norm, epsilons=(adversary.epsilon,)),)
    steps = {"loss": "cross_entropy", "steps": 7, "restarts": 1, "relative_step": 0.2}
    weak = AttackRef(name="pgd", options=steps)
    return {
        "weak": EvaluationRecipe(threats=threat, attacks=(weak,), noise=()),
        "strong": EvaluationRecipe(threats=threat, attacks=spec.attacks.attacks, noise=()),
    }


def expand(spec: NotRealSpec) -> list[Node]:
    """For each seed two robust models and a source, D_R and D_NR, a student of each; three encoders, each probed."""
    graph = Graph(spec)
    for seed in spec.seeds:
        jobs = SeedGraph(graph, spec, seed)
        robust = jobs.train("D_adv", spec.adversarial_training)
        again = jobs.train("D_adv_again", spec.adversarial_training)
        source = jobs.train("D", spec.training)
        made = {
            "D_R": jobs.synthesize("D_R", spec.robust, robust),
            "D_NR": jobs.synthesize("D_NR", spec.robust, source),
        }
        judged = {"D": source, "D_adv": robust, "D_adv_again": again}
        judged |= {row: jobs.train(row, spec.training, dataset) for row, dataset in made.items()}
        for row, model in judged.items():
            for name, recipe in recipes(spec).items():
                jobs.evaluate(f"{row}/{name}", model, recipe=recipe)
        pretraining = {name: getattr(spec.pretraining, name) for name in type(spec.pretraining).model_fields}
        for row in ENCODED:
            dataset = made.get(row, spec.dataset)
            without_labels = PretrainSpec(
                dataset=dataset,
                architecture=spec.architecture,
                seed=training_seed(seed, f"encoder {row}"),
                **pretraining,
            )
            encoder = ModelRef(name=graph.add(f"{seed}/pretrain/{row}", without_labels))
            jobs.probe(row, PenultimateFeatures(model=encoder), made.get(row))
    return graph.concluded()


def conclude(spec: NotRealSpec, figures: Mapping[str, Figures]) -> Conclusion:
    """Compare D_R's students with adversarial training, and encoders with supervised training on the same images."""
    found = Found(spec, figures)
    images = found.test_images
    adversary = spec.adversarial_training.adversary
    assert adversary is not None
    key = f"{adversary.epsilon:g}"

    def robust(row: str, name: str) -> Measure:
        values = [[one["robust"][adversary.norm][key]] for one in found.of("evaluate", f"{row}/{name}")]
        said = "paper's" if name == "weak" else "stronger"
        return rate(f"accuracy under the {said} attack, trained on {row}", values, images)

    rows = ("D", "D_adv", "D_adv_again", "D_R", "D_NR")
    left = {(row, name): robust(row, name) for row in rows for name in ("weak", "strong")}
    supervised = {
        row: rate(
            f"accuracy of supervised training on {row}", found.one_each("evaluate", f"{row}/weak", "standard"), images
        )
        for row in ENCODED
    }
    probed = {
        row: rate(
            f"accuracy of a linear classifier on an encoder of {row}", found.one_each("probe", row, "standard"), images
        )
        for row in ENCODED
    }

    def less_half(what: str, first: Measure, second: Measure) -> Measure:
        return difference(what, first, scaled(second, HALF))

    half_adv = "accuracy under the stronger attack less half of that of adversarial training"
    half_supervised = "accuracy on an encoder less half of that of supervised training"
    return Conclusion(
        title=f"Are they real features? Stronger attacks and no labels, on {spec.dataset.name}",
        question="Do models trained on D_R stand stronger attacks, and is D_NR of use where no labels are learnt?",
        source=SOURCE,
        dataset=spec.dataset.name,
        claims=(
            Claim(
                "attacks",
                f"Models trained on D_R are largely non-robust ({adversary.norm} {key}) under stronger attacks",
                below(0, "half of what adversarial training keeps"),
                less_half(half_adv + ", trained on D_R", left["D_R", "strong"], left["D_adv", "strong"]),
                Control(
                    "another adversarially trained model",
                    less_half(
                        half_adv + ", adversarially trained", left["D_adv_again", "strong"], left["D_adv", "strong"]
                    ),
                ),
            ),
            Claim(
                "no labels",
                "D_NR loses most of its use where the encoder learns no labels",
                below(0, "half of what supervised training reads"),
                less_half(half_supervised + ", D_NR", probed["D_NR"], supervised["D_NR"]),
                Control("the dataset itself", less_half(half_supervised + ", D", probed["D"], supervised["D"])),
            ),
        ),
        measures=(*left.values(), *supervised.values(), *probed.values()),
        setting="CIFAR-10 and larger sets",
        published=PUBLISHED,
        plots=(_plot(left, rows), _encoders(supervised, probed)),
        notes=(
            "The encoder is trained by SimCLR on the images of a dataset; the linear classifier is fitted on the same "
            "images with their labels, and read on the clean test images. Li et al. use larger encoders and further "
            "ways of learning without labels.",
            'The claims say "largely" and "most" with one half.',
        ),
    )


def scaled(measure: Measure, by: float) -> Measure:
    """A measure times a constant."""
    values = tuple(tuple(by * value for value in row) for row in measure.values)
    spread = None if measure.spread is None else by * measure.spread
    return Measure(
        measure.what,
        by * measure.mean,
        by * measure.low,
        by * measure.high,
        measure.kind,
        spread=spread,
        n_images=measure.n_images,
        n_seeds_source=measure.n_seeds_source,
        n_seeds_training=measure.n_seeds_training,
        values=values,
    )


def _bars(name: str, labels: tuple[str, ...], of: list[Measure]) -> Series:
    means, lows, highs = (tuple(getattr(one, key) for one in of) for key in ("mean", "low", "high"))
    return Series(name, labels, means, lows, highs)


def _plot(left: Mapping[tuple[str, str], Measure], rows: tuple[str, ...]) -> Plot:
    series = tuple(
        _bars(said, rows, [left[row, name] for row in rows])
        for name, said in (("weak", "the paper's attack"), ("strong", "stronger attacks"))
    )
    return Plot("Under attack", "Accuracy on the test images; 95 % intervals.", "bars", "", "accuracy, %", series)


def _encoders(supervised: Mapping[str, Measure], probed: Mapping[str, Measure]) -> Plot:
    series = (
        _bars("supervised", ENCODED, [supervised[row] for row in ENCODED]),
        _bars("linear classifier on an encoder", ENCODED, [probed[row] for row in ENCODED]),
    )
    return Plot("With and without labels", "Accuracy on the clean test images.", "bars", "", "accuracy, %", series)
