"""The jobs of a follow-up study as they are put together, and their figures as they come back. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.cards import Node
from core.studies import training_seed
from sieve.specs import (
    ArchitectureRef,
    ConclusionPart,
    ConclusionSpec,
    Construction,
    DatasetRef,
    EvaluateSpec,
    EvaluationRecipe,
    JobRef,
    ModelRef,
    ProbeSpec,
    Spec,
    SynthesizeSpec,
    TrainingRecipe,
    TrainSpec,
)
from sieve.specs.followups.base import FollowUp
from sieve.specs.probe import Features

UNATTACKED = EvaluationRecipe(threats=(), noise=())
"""Clean accuracy alone."""


class Graph:
    """Nodes named `seed/role/row`, each after those that it needs."""

    def __init__(self, study: Spec) -> None:
        self._study = study
        self._nodes: list[Node] = []

    def add(self, name: str, spec: Spec) -> str:
        """Any job; gives its reference."""
        self._nodes.append(Node(name, spec))
        return f"@{name}"

    def concluded(self) -> list[Node]:
        """All jobs, and the one that concludes."""
        parts = tuple(ConclusionPart(node=node.name, job=JobRef(name=f"@{node.name}")) for node in self._nodes)
        spec = ConclusionSpec(study=self._study.model_dump(mode="json"), parts=parts)
        return [*self._nodes, Node("report", spec)]


class SeedGraph:
    """The jobs of one seed of a study with networks."""

    def __init__(self, graph: Graph, study: FollowUp, seed: int) -> None:
        self._graph, self._study, self.seed = graph, study, seed
        self._precision: dict[str, Any] = {} if study.precision is None else {"precision": study.precision}

    def train(
        self,
        row: str,
        recipe: TrainingRecipe,
        dataset: DatasetRef | None = None,
        *,
        architecture: ArchitectureRef | None = None,
        permuted_from: str | None = None,
    ) -> ModelRef:
        """A model, with initial weights of its own.

        Args:
            row: what it is called; its seed follows from it.
            recipe: how it is trained.
            dataset: what on; the study's own when None.
            architecture: the study's own when None.
            permuted_from: the row whose control it is: the same seed, labels permuted.
        """
        network = architecture or self._study.architecture
        spec = TrainSpec(
            dataset=dataset or self._study.dataset,
            architecture=ArchitectureRef(name=network.name, options=network.options),
            seed=training_seed(self.seed, permuted_from or row),
            permute_labels=permuted_from is not None,
            **self._precision,
            **fields(recipe),
        )
        return ModelRef(name=self._graph.add(f"{self.seed}/train/{row}", spec))

    def synthesize(
        self,
        row: str,
        construction: Construction,
        source: ModelRef,
        *,
        split: str = "train",
        dataset: DatasetRef | None = None,
    ) -> DatasetRef:
        """A constructed dataset."""
        spec = SynthesizeSpec.model_validate(
            {
                "construction": construction,
                "dataset": dataset or self._study.dataset,
                "model": source,
                "split": split,
                "seed": self.seed,
                **self._precision,
            }
        )
        return DatasetRef(name=self._graph.add(f"{self.seed}/synthesize/{row}", spec))

    def evaluate(
        self,
        row: str,
        model: ModelRef,
        *,
        readings: Iterable[DatasetRef] = (),
        recipe: EvaluationRecipe = UNATTACKED,
        dataset: DatasetRef | None = None,
    ) -> None:
        """A model's figures on the clean test images, under attack where the recipe says so."""
        spec = EvaluateSpec(
            dataset=dataset or self._study.dataset,
            model=model,
            readings=tuple(readings),
            seed=self.seed,
            **self._precision,
            **fields(recipe),
        )
        self._graph.add(f"{self.seed}/evaluate/{row}", spec)

    def probe(
        self, row: str, features: Features, train_on: DatasetRef | None = None, *, permute_labels: bool = False
    ) -> None:
        """A linear classifier on frozen features."""
        spec = ProbeSpec(
            dataset=self._study.dataset,
            train_on=train_on,
            features=features,
            permute_labels=permute_labels,
            seed=self.seed,
        )
        self._graph.add(f"{self.seed}/probe/{row}", spec)

    def students(self, row: str, recipe: TrainingRecipe, dataset: DatasetRef, **settings: Any) -> None:
        """The models trained on a constructed dataset, `row/0` and so on, each evaluated."""
        control = settings.pop("permuted_from", None)
        for at in range(self._study.trainings):
            model = self.train(f"{row}/{at}", recipe, dataset, permuted_from=control and f"{control}/{at}", **settings)
            self.evaluate(f"{row}/{at}", model)


def fields(recipe: TrainingRecipe | EvaluationRecipe) -> dict[str, Any]:
    """A recipe's own fields, for the spec that is made of it."""
    names = TrainingRecipe.model_fields if isinstance(recipe, TrainingRecipe) else EvaluationRecipe.model_fields
    return {name: getattr(recipe, name) for name in names}


class Found:
    """The figures of a study's jobs by node."""

    def __init__(self, study: FollowUp, figures: Mapping[str, Mapping[str, Any]]) -> None:
        self._study, self._figures = study, figures
        evaluated = next(held for node, held in figures.items() if "/evaluate/" in node)
        self.test_images: int = evaluated["images"]

    def of(self, role: str, row: str) -> list[Mapping[str, Any]]:
        """One job's figures a seed."""
        return [self._figures[f"{seed}/{role}/{row}"] for seed in self._study.seeds]

    def students(self, row: str, key: str) -> list[list[float]]:
        """A figure of the models trained on a dataset: a row a seed, a value a training."""
        return [
            [self._figures[f"{seed}/evaluate/{row}/{at}"][key] for at in range(self._study.trainings)]
            for seed in self._study.seeds
        ]

    def one_each(self, role: str, row: str, key: str) -> list[list[float]]:
        """A figure of one job a seed, in the same form."""
        return [[found[key]] for found in self.of(role, row)]

    def reading(self, row: str, at: int, key: str) -> list[list[float]]:
        """How often a model reads a label off constructed images: its evaluation's reading number `at`."""
        return [[found["readings"][at][key]] for found in self.of("evaluate", row)]
