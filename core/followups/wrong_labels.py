"""Learning from wrong labels (Wallace, Distill 2019): a model trained on another's mistakes alone."""

from __future__ import annotations

from collections.abc import Mapping

from core.cards import Catalogue, Node
from core.claims import Claim, Control, above
from core.findings import Conclusion, Figures, PublishedFigure
from core.followups.graph import Found, Graph, SeedGraph
from core.kinds import train
from core.measure import rate
from core.planning import dataset_card
from sieve.specs import ErrorsConstruction, TrainSpec, WrongLabelsSpec

SOURCE = "Wallace, Distill 2019, distill.pub/2019/advex-bugs-discussion/response-6"
PUBLISHED = (
    PublishedFigure(
        "a ResNet-18 trained on nothing but the mistakes of another, on the test set", "49.7 %", SOURCE, "read"
    ),
    PublishedFigure(
        "accuracy of the source after two epochs, training and test images", "62.5 % and 63.1 %", SOURCE, "read"
    ),
    PublishedFigure("images that it misread and that were trained on", "18,768", SOURCE, "read"),
)


def check(spec: WrongLabelsSpec, catalogue: Catalogue) -> None:
    """Dataset and architecture exist and fit."""
    dataset_card(catalogue, spec.dataset, "/dataset")
    train.check(TrainSpec(dataset=spec.dataset, architecture=spec.architecture, batch_size=2), catalogue)


def expand(spec: WrongLabelsSpec) -> list[Node]:
    """For each seed a short training, its mistakes, and students of those, with the labels as they are and permuted."""
    graph = Graph(spec)
    for seed in spec.seeds:
        jobs = SeedGraph(graph, spec, seed)
        source = jobs.train("source", spec.source_training)
        jobs.evaluate("source", source)
        wrong = jobs.synthesize("errors", ErrorsConstruction(), source)
        jobs.students("errors", spec.training, wrong)
        jobs.students("errors_permuted", spec.training, wrong, permuted_from="errors")
    return graph.concluded()


def conclude(spec: WrongLabelsSpec, figures: Mapping[str, Figures]) -> Conclusion:
    """Compare the students with chance."""
    found = Found(spec, figures)
    images = found.test_images
    made = found.of("synthesize", "errors")
    chance = round(100 / made[0]["classes"], 4)
    learnt = rate("accuracy after training on mistakes alone", found.students("errors", "standard"), images)
    shuffled = rate(
        "accuracy after training on the same images with those labels permuted",
        found.students("errors_permuted", "standard"),
        images,
    )
    source = rate("accuracy of the source", found.one_each("evaluate", "source", "standard"), images, trained=False)
    mistakes = rate(
        "training images that the source misreads",
        [[one["errors"]] for one in made],
        made[0]["of_images"],
        trained=False,
    )
    return Conclusion(
        title=f"Learning from wrong labels, on {spec.dataset.name}",
        question="Does a model learn from another model's mistakes alone, on images that nobody perturbed?",
        source=SOURCE,
        dataset=spec.dataset.name,
        claims=(
            Claim(
                "mistakes",
                "A model trained on wrong labels alone, the mistakes of another, reads the true classes",
                above(chance, "chance"),
                learnt,
                Control("the same images, the wrong labels permuted among them", shuffled),
            ),
        ),
        measures=(learnt, shuffled, source, mistakes),
        setting="CIFAR-10, ResNet-18",
        published=PUBLISHED,
        notes=(f"Images, by seed: {', '.join(str(one['images']) for one in made)}. None of their labels is right.",),
    )
