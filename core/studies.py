"""The paper's study as a graph of jobs. Torch-free.

D ── train ─┬─ D_NR, D_rand, D_det ─┬─ train ── evaluate ─┐
D_adv ──────┴─ D_R ─────────────────┘                     ├─ report
D, D_adv ── evaluate (and read the constructed labels) ───┘

Where learning rates are to be chosen, a training is several candidates and the choice between them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from core.cards import Node
from sieve.specs import (
    ArchitectureRef,
    ChooseSpec,
    Construction,
    DatasetRef,
    EvaluateSpec,
    JobRef,
    ModelRef,
    ReportPart,
    ReportSpec,
    StudySpec,
    SynthesizeSpec,
    TrainingRecipe,
    TrainSpec,
)

ROWS = ("D", "D_adv", "D_R", "D_NR", "D_rand", "D_det", "D_rand_permuted")
"""Rows of the study's table, in order. D and D_adv are trained on the dataset itself."""

ROLES = ("train", "synthesize", "evaluate")
"""Parts of the study that its report reads: not further sources, nor candidates among which a training was chosen."""

CONSTRUCTED = ("D_R", "D_NR", "D_rand", "D_det")

WALL = "wall.safetensors"
"""The file of the report's that holds some images of every dataset, see `core.wall`."""


def training_seed(seed: int, row: str) -> int:
    """The seed of one training of the study that runs with `seed`; D_rand's control shares D_rand's.

    Initial weights must not come from the study's seed alone: a model that starts from the very weights that its
    source started from reads the source's features far better than any other model would. On digits that lifts D_rand
    by 20 points.
    """
    written = f"{seed} {'D_rand' if row == 'D_rand_permuted' else row}"
    return int.from_bytes(hashlib.blake2b(written.encode(), digest_size=4).digest(), "big")


def main_study(spec: StudySpec) -> list[Node]:
    """All jobs of the study, each after those that it needs, ending in the report."""
    nodes = [node for seed in spec.seeds for node in _one_seed(spec, seed)]
    parts = tuple(
        ReportPart(role=role, row=row, seed=int(seed), job=JobRef(name=f"@{node.name}"))
        for node in nodes
        for seed, role, row in [node.name.split("/")]
        if role in ROLES
    )
    return [*nodes, Node("report", ReportSpec(study=spec, parts=parts))]


def _one_seed(spec: StudySpec, seed: int) -> Iterator[Node]:
    def at(role: str, row: str) -> str:
        return f"{seed}/{role}/{row}"

    precision = {} if spec.precision is None else {"precision": spec.precision}

    def trained(row: str, recipe: TrainingRecipe, dataset: DatasetRef, role: str = "train", **more: Any) -> Node:
        fields = {name: getattr(recipe, name) for name in TrainingRecipe.model_fields}
        spec_of = {"seed": training_seed(seed, row)} | precision | fields | more
        architecture = ArchitectureRef(name=spec.architecture.name, options=spec.architecture.options)
        return Node(at(role, row), TrainSpec(dataset=dataset, architecture=architecture, **spec_of))

    def chosen(
        row: str, recipe: TrainingRecipe, rates: Sequence[float], dataset: DatasetRef, **more: Any
    ) -> Iterator[Node]:
        if not rates:
            yield trained(row, recipe, dataset, **more)
            return
        candidates = [f"{row}.{number}" for number in range(1, len(rates) + 1)]
        for name, rate in zip(candidates, rates, strict=True):
            own = {"seed": training_seed(seed, row), "learning_rate": rate, "validate_on": spec.dataset}
            yield trained(name, recipe, dataset, "candidate", **own, **more)
        names = ["@" + at("candidate", name) for name in candidates]
        choice = ChooseSpec(
            models=tuple(ModelRef(name=name) for name in names), trainings=tuple(JobRef(name=name) for name in names)
        )
        yield Node(at("train", row), choice)

    def constructed(row: str, source: str, construction: Construction, further: Sequence[str] = ()) -> Node:
        return Node(
            at("synthesize", row),
            SynthesizeSpec(
                construction=construction,
                dataset=spec.dataset,
                model=ModelRef(name="@" + at("train", source)),
                further_models=tuple(ModelRef(name="@" + at("source", one)) for one in further),
                seed=seed,
                **precision,
            ),
        )

    def made(row: str) -> DatasetRef:
        return DatasetRef(name="@" + at("synthesize", row))

    def judged(row: str, readings: tuple[DatasetRef, ...] = ()) -> Node:
        fields = {name: getattr(spec.evaluation, name) for name in type(spec.evaluation).model_fields}
        return Node(
            at("evaluate", row),
            EvaluateSpec(
                dataset=spec.dataset,
                model=ModelRef(name="@" + at("train", row)),
                readings=readings,
                seed=seed,
                **precision,
                **fields,
            ),
        )

    random_target_training = spec.random_target_training or spec.training
    yield trained("D_adv", spec.adversarial_training, spec.dataset)
    yield trained("D", spec.training, spec.dataset)
    further = [f"D.{number}" for number in range(2, spec.sources + 1)]
    for one in further:
        yield trained(one, spec.training, spec.dataset, "source")
    yield constructed("D_NR", "D", spec.robust)
    yield constructed("D_rand", "D", spec.random_target, further)
    yield constructed("D_det", "D", spec.deterministic_target, further)
    yield constructed("D_R", "D_adv", spec.robust)
    yield trained("D_NR", spec.training, made("D_NR"))
    rates = spec.random_target_learning_rates
    yield from chosen("D_rand", random_target_training, rates, made("D_rand"))
    yield from chosen("D_rand_permuted", random_target_training, rates, made("D_rand"), permute_labels=True)
    fixed_target_training = spec.deterministic_target_training or spec.training
    yield from chosen("D_det", fixed_target_training, spec.deterministic_target_learning_rates, made("D_det"))
    yield trained("D_R", spec.training, made("D_R"))
    readings = tuple(made(row) for row in CONSTRUCTED)
    for row in ROWS:
        yield judged(row, readings if row in ("D", "D_adv") else ())
