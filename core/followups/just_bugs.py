"""Perturbations that do not transfer (Nakkiran, Distill 2019): adversarial examples that are bugs and no features."""

from __future__ import annotations

from collections.abc import Mapping

from core.cards import Catalogue, Node
from core.claims import Claim, Control, below, not_above
from core.findings import Conclusion, Figures, Plot, PublishedFigure, Series
from core.followups.graph import Found, Graph, SeedGraph
from core.kinds import train
from core.measure import Measure, rate
from core.planning import dataset_card
from sieve.specs import (
    Construction,
    DeterministicTargetConstruction,
    JustBugsSpec,
    TrainSpec,
    UntransferableConstruction,
)

SOURCE = "Nakkiran, Distill 2019, distill.pub/2019/advex-bugs-discussion/response-5"
PUBLISHED = (
    PublishedFigure("target reached on the source, linf 8/255", "98.6 %", SOURCE, "memory"),
    PublishedFigure("target read by models that were not in the ensemble", "0.8 %", SOURCE, "memory"),
    PublishedFigure("model trained on them: the original test set", "2.5 %", SOURCE, "memory"),
    PublishedFigure("model trained on them: (x, y + 1)", "75.9 %", SOURCE, "memory"),
)
KINDS = ("bugs", "D_det")


def check(spec: JustBugsSpec, catalogue: Catalogue) -> None:
    """Dataset and architecture exist and fit."""
    dataset_card(catalogue, spec.dataset, "/dataset")
    train.check(TrainSpec(dataset=spec.dataset, architecture=spec.architecture, batch_size=2), catalogue)


def expand(spec: JustBugsSpec) -> list[Node]:
    """For each seed a source, an ensemble and held-out models; both constructions of both splits; students."""
    graph = Graph(spec)
    ball = {name: getattr(spec.construction, name) for name in type(spec.construction).model_fields}
    for seed in spec.seeds:
        jobs = SeedGraph(graph, spec, seed)
        source = jobs.train("source", spec.training)
        ensemble = tuple(jobs.train(f"ensemble{at}", spec.training) for at in range(spec.ensemble))
        held_out = [jobs.train(f"held_out{at}", spec.training) for at in range(spec.held_out)]
        how: dict[str, Construction] = {
            "bugs": UntransferableConstruction(ensemble=ensemble, **ball),
            "D_det": DeterministicTargetConstruction(**ball),
        }
        made = {kind: jobs.synthesize(kind, how[kind], source) for kind in KINDS}
        perturbed = [jobs.synthesize(f"{kind}_test", how[kind], source, split="test") for kind in KINDS]
        jobs.evaluate("source", source, readings=perturbed)
        for at, model in enumerate(held_out):
            jobs.evaluate(f"held_out{at}", model, readings=perturbed)
        for kind in KINDS:
            jobs.students(kind, spec.on_targets, made[kind])
    return graph.concluded()


def conclude(spec: JustBugsSpec, figures: Mapping[str, Figures]) -> Conclusion:
    """Hold transfer and learning of the bugs against those of D_det."""
    found = Found(spec, figures)
    images = found.test_images
    chance = round(100 / found.of("synthesize", "bugs")[0]["classes"], 4)
    said = {"bugs": "made to spare other models", "D_det": "of D_det"}

    def transferred(kind: str) -> Measure:
        at = KINDS.index(kind)
        readers = [found.reading(f"held_out{reader}", at, "stored_where_changed") for reader in range(spec.held_out)]
        rows = [[reader[seed][0] for reader in readers] for seed in range(len(spec.seeds))]
        means = [[sum(row) / len(row)] for row in rows]
        what = f"target read by held-out models off test images with perturbations {said[kind]}"
        return rate(what, means, images, trained=False)

    success = {
        kind: rate(
            f"target reached on the source with perturbations {said[kind]}",
            found.reading("source", at, "stored_where_changed"),
            images,
            trained=False,
        )
        for at, kind in enumerate(KINDS)
    }
    transfer = {kind: transferred(kind) for kind in KINDS}
    learnt = {
        kind: rate(f"accuracy after training on perturbations {said[kind]}", found.students(kind, "standard"), images)
        for kind in KINDS
    }
    shifted = {
        kind: rate(
            f"accuracy on (x, y + 1) after training on perturbations {said[kind]}",
            found.students(kind, "shifted"),
            images,
        )
        for kind in KINDS
    }
    control = "D_det: the same ball and steps, without the ensemble"
    return Conclusion(
        title=f"Adversarial perturbations that are just bugs, on {spec.dataset.name}",
        question="Are there perturbations that fool one model and no other, with nothing in them to be learnt?",
        source=SOURCE,
        dataset=spec.dataset.name,
        claims=(
            Claim(
                "transfer",
                "Perturbations can be made that fool their source and do not transfer",
                below(chance, "chance"),
                transfer["bugs"],
                Control(control, transfer["D_det"]),
            ),
            Claim(
                "learning",
                "Nothing of the true classes is learnt from them",
                not_above(chance, "chance"),
                learnt["bugs"],
                Control(control, learnt["D_det"]),
            ),
        ),
        measures=(*success.values(), *transfer.values(), *learnt.values(), *shifted.values()),
        setting="CIFAR-10, linf 8/255, ResNet-50 and an ensemble",
        published=PUBLISHED,
        plots=(_plot(success, transfer, learnt, shifted),),
        notes=(
            f"Ball: {spec.construction.norm}, epsilon {spec.construction.epsilon:g}, {spec.construction.steps} steps. "
            f"{spec.ensemble} models in the ensemble, {spec.held_out} held out; transfer is the mean over the held-out "
            "models, on test images. The published ball was linf 8/255.",
            f"Without success on the source the claims would be empty: {success['bugs'].text()} "
            f"(without the ensemble {success['D_det'].text()}).",
        ),
    )


def _plot(*measured: Mapping[str, Measure]) -> Plot:
    names = ("source reads target", "held-out models read target", "student: true class", "student: target class")

    def series(kind: str, name: str) -> Series:
        of = [one[kind] for one in measured]
        return Series(
            name,
            names,
            tuple(one.mean for one in of),
            tuple(one.low for one in of),
            tuple(one.high for one in of),
        )

    return Plot(
        "Bugs beside features",
        "Perturbations made to spare other models, and D_det's; 95 % intervals.",
        "bars",
        "",
        "test images, %",
        (series("bugs", "made to spare other models"), series("D_det", "D_det")),
    )
