"""The paper's study as a graph of jobs. Torch-free.

D ── train ─┬─ D_NR, D_rand, D_det ─┬─ train ── evaluate ─┐
D_adv ──────┴─ D_R ─────────────────┘                     ├─ report
D, D_adv ── evaluate (and read the constructed labels) ───┘
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from core.cards import Node
from sieve.specs import (
    ArchitectureRef,
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
        ReportPart(role=node.spec.kind, row=row, seed=int(seed), job=JobRef(name=f"@{node.name}"))  # type: ignore[attr-defined]
        for node in nodes
        for seed, role, row in [node.name.split("/")]
    )
    return [*nodes, Node("report", ReportSpec(study=spec, parts=parts))]


def _one_seed(spec: StudySpec, seed: int) -> Iterator[Node]:
    def at(role: str, row: str) -> str:
        return f"{seed}/{role}/{row}"

    precision = {} if spec.precision is None else {"precision": spec.precision}

    def trained(row: str, recipe: TrainingRecipe, dataset: DatasetRef, *, permute_labels: bool = False) -> Node:
        fields = {name: getattr(recipe, name) for name in TrainingRecipe.model_fields}
        return Node(
            at("train", row),
            TrainSpec(
                dataset=dataset,
                architecture=ArchitectureRef(name=spec.architecture.name, options=spec.architecture.options),
                seed=training_seed(seed, row),
                permute_labels=permute_labels,
                **precision,
                **fields,
            ),
        )

    def constructed(row: str, source: str, construction: Construction) -> Node:
        return Node(
            at("synthesize", row),
            SynthesizeSpec(
                construction=construction,
                dataset=spec.dataset,
                model=ModelRef(name="@" + at("train", source)),
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
    yield constructed("D_NR", "D", spec.robust)
    yield constructed("D_rand", "D", spec.random_target)
    yield constructed("D_det", "D", spec.deterministic_target)
    yield constructed("D_R", "D_adv", spec.robust)
    yield trained("D_NR", spec.training, made("D_NR"))
    yield trained("D_rand", random_target_training, made("D_rand"))
    yield trained("D_rand_permuted", random_target_training, made("D_rand"), permute_labels=True)
    yield trained("D_det", spec.deterministic_target_training or spec.training, made("D_det"))
    yield trained("D_R", spec.training, made("D_R"))
    readings = tuple(made(row) for row in CONSTRUCTED)
    for row in ROWS:
        yield judged(row, readings if row in ("D", "D_adv") else ())
