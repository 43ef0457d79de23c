"""Transfer (Ilyas et al. 2019, figure 3): a network that another's adversarial examples fool learns from its D_det."""

from __future__ import annotations

from collections.abc import Mapping

from core.cards import Catalogue, Node
from core.claims import Claim, Control, above
from core.findings import Conclusion, Figures, Plot, PublishedFigure, Series
from core.followups.graph import Found, Graph, SeedGraph
from core.kinds import train
from core.measure import Measure, correlation, rate
from core.planning import dataset_card
from core.tables import Table
from sieve.specs import ArchitectureRef, TrainSpec, TransferSpec

SOURCE = "Ilyas et al. 2019, arXiv 1905.02175, figure 3"
PUBLISHED = (
    PublishedFigure(
        "architectures that more of a ResNet-50's examples transfer to are more accurate after training on its D_det",
        "5 architectures; drawn, no coefficient given",
        SOURCE,
        "memory",
    ),
    PublishedFigure("standard accuracy of a ResNet-50 after training on D_det", "43.7 %", SOURCE, "read"),
)


def check(spec: TransferSpec, catalogue: Catalogue) -> None:
    """Dataset and every architecture exist and fit."""
    dataset_card(catalogue, spec.dataset, "/dataset")
    for architecture in (spec.architecture, *spec.architectures):
        train.check(TrainSpec(dataset=spec.dataset, architecture=architecture, batch_size=2), catalogue)


def expand(spec: TransferSpec) -> list[Node]:
    """For each seed a source, its perturbations of both splits; for each architecture a reader and its students."""
    graph = Graph(spec)
    for seed in spec.seeds:
        jobs = SeedGraph(graph, spec, seed)
        source = jobs.train("source", spec.training)
        made = jobs.synthesize("D_det", spec.deterministic_target, source)
        perturbed = jobs.synthesize("test", spec.deterministic_target, source, split="test")
        jobs.evaluate("source", source, readings=[perturbed])
        for at, architecture in enumerate(spec.architectures):
            reader = jobs.train(f"reader{at}", spec.training, architecture=architecture)
            jobs.evaluate(f"reader{at}", reader, readings=[perturbed])
            jobs.students(f"D_det{at}", spec.on_targets, made, architecture=architecture)
            jobs.students(
                f"D_det{at}_permuted", spec.on_targets, made, architecture=architecture, permuted_from=f"D_det{at}"
            )
    return graph.concluded()


def conclude(spec: TransferSpec, figures: Mapping[str, Figures]) -> Conclusion:
    """Correlate transfer success with the accuracy after training on D_det, over architectures."""
    found = Found(spec, figures)
    images, numbers = found.test_images, range(len(spec.architectures))
    names = architecture_names(spec.architectures)

    def read(key: str, what: str) -> list[Measure]:
        return [
            rate(f"{what} ({names[at]})", found.reading(f"reader{at}", 0, key), images, trained=False) for at in numbers
        ]

    transfer = read("stored_where_changed", "target read off the source's perturbed test images")
    kept = read("original_where_changed", "true class read off the same images")
    clean = [
        rate(f"clean accuracy ({names[at]})", found.one_each("evaluate", f"reader{at}", "standard"), images)
        for at in numbers
    ]
    learnt = [
        rate(f"accuracy after D_det ({names[at]})", found.students(f"D_det{at}", "standard"), images) for at in numbers
    ]
    shuffled = [
        rate(
            f"accuracy after D_det, labels permuted ({names[at]})",
            found.students(f"D_det{at}_permuted", "standard"),
            images,
        )
        for at in numbers
    ]
    counts = {"n_images": images, "n_seeds_source": len(spec.seeds), "n_seeds_training": spec.trainings}
    means = [one.mean for one in transfer]
    r = correlation("the correlation over architectures", means, [one.mean for one in learnt], **counts)
    r_control = correlation("the correlation over architectures", means, [one.mean for one in shuffled], **counts)
    success = rate(
        "target reached on the source itself", found.reading("source", 0, "stored_where_changed"), images, trained=False
    )
    return Conclusion(
        title=f"Transfer and learning from D_det, on {spec.dataset.name}",
        question="Are the networks that a model's adversarial examples fool those that learn from its D_det?",
        source=SOURCE,
        dataset=spec.dataset.name,
        claims=(
            Claim(
                "transfer",
                "Architectures that the source's perturbations transfer to are more accurate after training on D_det",
                above(0, "no correlation"),
                r,
                Control("the same networks trained on D_det's images with its labels permuted", r_control),
            ),
        ),
        measures=(r, r_control, success, *transfer, *kept, *clean, *learnt, *shuffled),
        setting="CIFAR-10, source ResNet-50",
        published=PUBLISHED,
        tables=(_table(names, transfer, kept, learnt, shuffled),),
        plots=(_plot(names, transfer, learnt, shuffled),),
        notes=(
            "A perturbed test image counts as transferred where another network, trained plainly on the dataset, reads "
            "the target off it. The interval of the correlation is over architectures, which are few.",
        ),
    )


def architecture_names(refs: tuple[ArchitectureRef, ...]) -> list[str]:
    """Short and different."""
    names = []
    for ref in refs:
        options = [str(value).replace(" ", "") for value in ref.options.values()]
        names.append(" ".join([ref.name, *options]))
    return names


def _table(names: list[str], *columns: list[Measure]) -> Table:
    titles = ("transfer, %", "true class kept, %", "after D_det, %", "labels permuted, %")
    rows = tuple((name, *(column[at].text() for column in columns)) for at, name in enumerate(names))
    return Table("By architecture", ("architecture", *titles), rows)


def _plot(names: list[str], transfer: list[Measure], learnt: list[Measure], shuffled: list[Measure]) -> Plot:
    def series(name: str, of: list[Measure], text: tuple[str, ...]) -> Series:
        return Series(
            name,
            tuple(one.mean for one in transfer),
            tuple(one.mean for one in of),
            tuple(one.low for one in of),
            tuple(one.high for one in of),
            text,
        )

    return Plot(
        "Transfer success against accuracy after training on D_det",
        "A point an architecture, means over seeds and trainings with 95 % intervals.",
        "points",
        "target read off the source's perturbed test images, %",
        "accuracy on the clean test images, %",
        (series("trained on D_det", learnt, tuple(names)), series("labels permuted", shuffled, ())),
    )
