"""The constructions on planted ground truth: what they keep and what they drop can be read back without a network.

A small form of the preset `planted`: fewer images are constructed, so more epochs are trained on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.context import Inputs, MemoryContext, StoredDataset
from core.datasets.planted import PlantedOptions
from core.images import Images, load_dataset, open_dataset
from core.models import load_model
from core.planted import cue_conflict, read_pattern, read_shape
from core.run import execute
from core.studies import training_seed
from sieve.specs import (
    Construction,
    DatasetRef,
    ModelRef,
    RandomTargetConstruction,
    RobustConstruction,
    StudySpec,
    SynthesizeSpec,
    TrainSpec,
)

PRESET = StudySpec.model_validate({"preset": "planted"})
ALL = PRESET.dataset
HALF = DatasetRef(name="planted", limit_train=2048)
SOME = DatasetRef(name="planted", limit_train=1024)
ROBUST = RobustConstruction(steps=100, step_size=0.2, schedule="linear")


def share(said: Tensor, meant: Tensor) -> float:
    return float((said == meant).double().mean())


class Planted:
    """Everything made once: D, D_adv, three constructed datasets, the models trained on two of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = {
            "D": self.train("D", ALL, PRESET.training),
            "D_adv": self.train("D_adv", HALF, PRESET.adversarial_training, epochs=8),
        }
        self.datasets = {
            "D_R": self.construct("D_R", "D_adv", ROBUST),
            "D_NR": self.construct("D_NR", "D", ROBUST),
            "D_rand": self.construct("D_rand", "D", RandomTargetConstruction(epsilon=0.25, steps=50)),
        }
        for row in ("D_R", "D_NR"):
            self.models[row] = self.train(row, DatasetRef(name=row), PRESET.training, epochs=36)

    def train(self, row: str, dataset: DatasetRef, recipe: Any, **changes: Any) -> Path:
        fields = {name: getattr(recipe, name) for name in type(recipe).model_fields} | changes
        seed = training_seed(0, row)
        spec = TrainSpec(dataset=dataset, architecture=PRESET.architecture, seed=seed, **fields)
        datasets = {row: StoredDataset(path) for row, path in getattr(self, "datasets", {}).items()}
        return execute(spec, Inputs(datasets), MemoryContext(self.folder / f"train {row}")).outputs[0].path

    def construct(self, row: str, source: str, how: Construction) -> Path:
        spec = SynthesizeSpec(dataset=SOME, model=ModelRef(name="@m"), construction=how)
        inputs = Inputs(models={"@m": self.models[source]})
        return execute(spec, inputs, MemoryContext(self.folder / row)).outputs[0].path

    def images(self, row: str) -> Images:
        return load_dataset(self.datasets[row]).train


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    torch.set_num_threads(1)
    return Planted(tmp_path_factory.mktemp("planted"))


def test_the_robust_dataset_keeps_the_shape_and_drops_the_pattern(planted: Planted) -> None:
    made = planted.images("D_R")
    assert share(read_shape(made.pixels), made.labels) >= 0.88
    assert share(read_pattern(made.pixels), made.labels) <= 0.32


def test_the_non_robust_dataset_keeps_the_pattern_and_drops_the_shape(planted: Planted) -> None:
    made = planted.images("D_NR")
    assert share(read_shape(made.pixels), made.labels) <= 0.32
    assert share(read_pattern(made.pixels), made.labels) >= 0.40


def test_the_perturbation_alone_shows_the_target(planted: Planted) -> None:
    made = planted.images("D_rand")
    source = open_dataset(SOME, Inputs(), Path("nowhere")).train
    perturbation = made.pixels - source.batch(made.columns["source_index"])
    assert share(read_pattern(perturbation), made.labels) >= 0.40


@pytest.mark.parametrize(("row", "low", "high"), [("D", 0, 0.5), ("D_adv", 0.8, 1), ("D_R", 0.8, 1), ("D_NR", 0, 0.5)])
def test_what_a_model_follows_where_shape_and_pattern_disagree(
    planted: Planted, row: str, low: float, high: float
) -> None:
    images, shapes, _ = cue_conflict(PlantedOptions(), 500)
    read = load_model(planted.models[row])(images).argmax(1)
    assert low <= share(read, shapes) <= high
