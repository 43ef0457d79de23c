"""The choice between trainings."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.cards import KINDS, ModelCard
from core.choosing import choose
from core.context import Inputs, MemoryContext
from core.errors import SpecRefused
from sieve.specs import ChooseSpec, DatasetRef, JobRef, ModelRef, UploadRef


def training(rate: float, score: float) -> dict[str, object]:
    return {"learning_rate": rate, "score": score, "chosen_epoch": 3, "stuck_at_chance": False, "seconds": 2.0}


def test_the_best_on_held_out_images_is_kept_and_of_equals_the_smaller_rate(tmp_path: Path) -> None:
    figures = {"@a": training(0.1, 0.4), "@b": training(0.2, 0.7), "@c": training(0.05, 0.7)}
    models = {}
    for name in figures:
        models[name] = tmp_path / name[1:]
        models[name].write_text(name)
    spec = ChooseSpec(
        models=tuple(ModelRef(name=name) for name in figures), trainings=tuple(JobRef(name=name) for name in figures)
    )
    result = choose(spec, Inputs(models=models, figures=figures), MemoryContext(tmp_path / "scratch"))
    assert result.outputs[0].path.read_text() == "@c"
    assert result.figures["learning_rate"] == 0.05
    assert result.figures["seconds"] == 6.0
    assert [(one["learning_rate"], one["score"]) for one in result.figures["choice"]] == [
        (0.1, 0.4),
        (0.2, 0.7),
        (0.05, 0.7),
    ]


class Known:
    """Knows models by their names alone."""

    def model(self, ref: ModelRef) -> ModelCard:
        return ModelCard(shape=(1, 8, 8), classes=3 if ref.name == "mdl_3" else 10)

    def dataset(self, ref: DatasetRef) -> None: ...
    def upload(self, ref: UploadRef) -> None: ...


def test_models_of_another_sort_are_refused() -> None:
    def check(models: tuple[str, ...], trainings: int) -> ModelCard:
        spec = ChooseSpec(
            models=tuple(ModelRef(name=name) for name in models),
            trainings=tuple(JobRef(name=f"job_{at}") for at in range(trainings)),
        )
        return KINDS.get("choose").check(spec, Known())  # type: ignore[return-value]

    assert check(("mdl_1", "mdl_2"), 2).classes == 10
    with pytest.raises(SpecRefused, match="/models/1"):
        check(("mdl_1", "mdl_3"), 2)
    with pytest.raises(SpecRefused, match="/trainings"):
        check(("mdl_1", "mdl_2"), 1)
