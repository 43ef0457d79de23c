"""Constructions that beat the paper's at equal counted gradients: chosen on held-out training images, then confirmed.

    OMP_NUM_THREADS=1 python -m benchmarks.recipes choose --out out/recipes       # seeds 10 to 12, no test image
    OMP_NUM_THREADS=1 python -m benchmarks.recipes confirm --out out/recipes      # seeds 20 to 24, the test images

`choose` sets a fifth of the training images of digits aside: sources and constructions see the rest alone, and what is
trained on them is judged on the fifth. `confirm` takes the recipe that did best there and the paper's, both with the
same number of gradients for each image, on fresh seeds, all training images, and judges by every attack at hand. What
is done is kept in the folder and not done again. Gradients of the sources' own trainings are not counted: more sources
take more of those, and the output says how many sources there are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import record
from core.context import Inputs, MemoryContext, StoredDataset
from core.images import open_dataset, save_dataset
from core.run import execute
from core.seeding import derived_seed, generator
from sieve.specs import (
    PRESETS,
    ArchitectureRef,
    AttackRef,
    Construction,
    DatasetRef,
    DeterministicTargetConstruction,
    EvaluateSpec,
    ModelRef,
    RandomTargetConstruction,
    RobustConstruction,
    Spec,
    StudySpec,
    SynthesizeSpec,
    Threat,
    TrainingRecipe,
    TrainSpec,
)

HELD_OUT = 287
CHOICE_SEEDS, FRESH_SEEDS = (10, 11, 12), (20, 21, 22, 23, 24)
GRADIENTS = {"D_R": 240, "D_rand": 100, "D_det": 100}
"""For each image."""
EPSILON = 0.5
"""At which D_R is judged, l2; D_rand and D_det by their standard accuracy."""
STUDY = StudySpec.model_validate({"preset": "digits"})


@dataclass(frozen=True)
class Recipe:
    """A way to make one of the datasets."""

    row: str
    name: str
    construction: Construction
    sources: int = 1
    source_epsilon: float | None = None
    """Of the robust sources' adversary, where it is not the preset's."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What differs in the training on it."""


def _robust(name: str, *, sources: int = 1, source_epsilon: float | None = None, **fields: Any) -> Recipe:
    how = RobustConstruction.model_validate({"steps": GRADIENTS["D_R"], **fields})
    return Recipe("D_R", name, how, sources, source_epsilon)


def _targeted(row: str, name: str, sources: int = 1, training: Mapping[str, Any] | None = None, **more: Any) -> Recipe:
    sort = RandomTargetConstruction if row == "D_rand" else DeterministicTargetConstruction
    base = {"epsilon": STUDY.random_target.epsilon, "steps": GRADIENTS[row]}
    return Recipe(row, name, sort(**(base | more)), sources, training=training or {})


PAPER = "paper"
RECIPES = (
    _robust(PAPER, step_size=0.1),
    _robust("fast", recipe="fast"),
    _robust("fast, 2 sources", recipe="fast", sources=2),
    _robust("fast, 3 sources", recipe="fast", sources=3),
    _robust("fast, from noise", recipe="fast", start="noise"),
    _robust("fast, from noise, 3 sources", recipe="fast", start="noise", sources=3),
    _robust("fast, 3 sources of epsilon 1.5", recipe="fast", sources=3, source_epsilon=1.5),
    *(
        _targeted(row, name, **more)  # type: ignore[arg-type]
        for row in ("D_rand", "D_det")
        for name, more in {
            PAPER: {},
            "2 sources": {"sources": 2},
            "4 sources": {"sources": 4},
            "4 sources, steps of eps / 10": {"sources": 4, "relative_step": 0.1},
        }.items()
    ),
)


class Bench:
    """Runs jobs in this process and keeps what they leave."""

    def __init__(self, folder: Path, dataset: DatasetRef, inputs: Mapping[str, StoredDataset]) -> None:
        self._folder, self._dataset, self._datasets = folder, dataset, dict(inputs)

    def accuracies(self, recipe: Recipe, seed: int, attacks: Sequence[AttackRef]) -> dict[str, float]:
        """Standard and robust accuracy of a plain model trained on what the recipe makes, percent."""
        kind = "D_adv" if recipe.row == "D_R" else "D"
        sources = [self._source(kind, seed, number, recipe.source_epsilon) for number in range(recipe.sources)]
        refs = [ModelRef(name=f"@{path.parent.name}") for path in sources]
        models = {ref.name: path for ref, path in zip(refs, sources, strict=True)}
        name = f"{seed} {recipe.row} {recipe.name}"
        made = self._done(
            f"{name} made",
            SynthesizeSpec(
                construction=recipe.construction,
                dataset=self._dataset,
                model=refs[0],
                further_models=tuple(refs[1:]),
                seed=seed,
            ),
            Inputs(self._datasets, models),
        )
        student = self._done(
            f"{name} trained",
            self._training(recipe.training, _recipe_of(recipe.row), "@made", derived_seed(seed, recipe.row) >> 31),
            Inputs({"@made": StoredDataset(made / "dataset.safetensors")}),
        )
        threat = Threat(norm="l2", epsilons=(EPSILON,))
        judged = self._done(
            f"{name} judged",
            EvaluateSpec(
                dataset=self._dataset,
                model=ModelRef(name="@student"),
                threats=(threat,),
                attacks=tuple(attacks),
                noise=(),
                seed=seed,
            ),
            Inputs(self._datasets, {"@student": student / "model.safetensors"}),
        )
        figures = json.loads((judged / "figures.json").read_text())
        return {"standard": 100 * figures["standard"], "robust": 100 * figures["robust"]["l2"][f"{EPSILON:g}"]}

    def _source(self, kind: str, seed: int, number: int, epsilon: float | None) -> Path:
        recipe: TrainingRecipe = STUDY.training if kind == "D" else STUDY.adversarial_training
        changed: dict[str, Any] = {}
        if epsilon is not None:
            changed = {"adversary": STUDY.adversary.model_copy(update={"epsilon": epsilon})}
        name = f"{seed} {kind} {number}" + ("" if epsilon is None else f" epsilon {epsilon:g}")
        own = derived_seed(seed, kind, number) >> 31
        spec = self._training(changed, recipe, self._dataset.name, own)
        return self._done(name, spec, Inputs(self._datasets)) / "model.safetensors"

    def _training(self, changed: Mapping[str, Any], recipe: TrainingRecipe, dataset: str, seed: int) -> TrainSpec:
        fields = {name: getattr(recipe, name) for name in TrainingRecipe.model_fields}
        architecture = ArchitectureRef(name=STUDY.architecture.name, options=STUDY.architecture.options)
        ref = self._dataset if dataset == self._dataset.name else DatasetRef(name=dataset)
        return TrainSpec.model_validate(
            fields | {"dataset": ref, "architecture": architecture, "seed": seed} | dict(changed)
        )

    def _done(self, name: str, spec: Spec, inputs: Inputs) -> Path:
        folder = self._folder / name.replace(",", "").replace("/", "of").replace(" ", "-")
        done = folder / "figures.json"
        if not done.exists():
            began = time.process_time()
            result = execute(spec, inputs, MemoryContext(folder, data_folder=self._folder))
            done.write_text(json.dumps(result.figures, default=dict))
            print(f"{name:50s} {time.process_time() - began:6.1f} s", file=sys.stderr, flush=True)
        return folder


def _recipe_of(row: str) -> TrainingRecipe:
    other = {"D_rand": STUDY.random_target_training, "D_det": STUDY.deterministic_target_training}.get(row)
    return other or STUDY.training


def choose(folder: Path) -> dict[str, Any]:
    """Every recipe, seed by seed, on held-out training images."""
    splits = open_dataset(STUDY.dataset, Inputs(), folder)
    order = torch.randperm(len(splits.train), generator=generator(0, "recipes"))
    path = folder / "development.safetensors"
    held_out = splits.train.select(order[:HELD_OUT])
    save_dataset(path, splits.train.select(order[HELD_OUT:]), splits.classes, test=held_out)
    bench = Bench(folder / "choice", DatasetRef(name="@development"), {"@development": StoredDataset(path)})
    attacks = [
        AttackRef(name="pgd", options={"loss": loss, "steps": 20, "restarts": 2, "relative_step": 0.2})
        for loss in ("cross_entropy", "margin")
    ]
    return _table(bench, RECIPES, CHOICE_SEEDS, attacks)


def confirm(folder: Path, chosen: Mapping[str, str]) -> dict[str, Any]:
    """The chosen recipe of each dataset and the paper's, on fresh seeds and the test images."""
    bench = Bench(folder / "confirmation", STUDY.dataset, {})
    recipes = [one for one in RECIPES if one.name in (PAPER, chosen[one.row])]
    return _table(bench, recipes, FRESH_SEEDS, [AttackRef(name="strong"), *STUDY.evaluation.attacks])


def _table(
    bench: Bench, recipes: Sequence[Recipe], seeds: Sequence[int], attacks: Sequence[AttackRef]
) -> dict[str, Any]:
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for seed in seeds:
        for recipe in recipes:
            held = found.setdefault(recipe.row, {}).setdefault(recipe.name, {"standard": [], "robust": []})
            for key, value in bench.accuracies(recipe, seed, attacks).items():
                held[key].append(round(value, 2))
    return {
        row: {
            name: {"sources": _sources(row, name), "gradients": GRADIENTS[row], **held, **_summary(held)}
            for name, held in by_name.items()
        }
        for row, by_name in found.items()
    }


def _sources(row: str, name: str) -> int:
    return next(one.sources for one in RECIPES if (one.row, one.name) == (row, name))


def _summary(held: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    return {
        f"{key}_{what}": round(of(values), 2)
        for key, values in held.items()
        for what, of in (("mean", statistics.mean), ("spread", statistics.stdev))
    }


def winners(table: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Of each dataset the best recipe: D_R by its robust accuracy, the others by their standard one."""
    found = {}
    for row, by_name in table.items():
        key = "robust_mean" if row == "D_R" else "standard_mean"
        found[row] = max(by_name.items(), key=lambda item, key=key: item[1][key])[0]  # type: ignore[misc]
    return found


def main() -> None:
    """Read the options, run, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["choose", "confirm"])
    parser.add_argument("--out", type=Path, required=True, help="folder for all files")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    table = choose(options.out)
    chosen = winners(table)
    found: dict[str, Any] = {"preset": PRESETS["digits"], "choice": table, "chosen": chosen}
    if options.stage == "confirm":
        found["confirmation"] = confirm(options.out, chosen)
    record(options.out / "recipes.json", found)
    print(json.dumps({key: found[key] for key in found if key != "preset"}, indent=1))


if __name__ == "__main__":
    main()
