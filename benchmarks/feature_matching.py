"""D_R by the fast recipe against the paper's: time to the same feature distance, and what is learnt from either.

    OMP_NUM_THREADS=1 python -m benchmarks.feature_matching --out out/bench/feature_matching.json

On the preset `digits`, for each seed: a source is trained adversarially; D_R is made from it by 1000 steps of 0.1
(`paper`) and by the recipe `fast`, both through the same engine in fp32. Distances are relative, means over all images,
judged by the plain fp32 model. `paper` is timed to where it first comes within 2 % of the distance that its 1000 steps
end at, `fast` to where it first is as near as that end itself: for each the construction as a job runs it, with just so
many gradients. `speedup` is the median over seeds; `whole` is against all gradients that `fast` takes by itself.

Then students are trained on both D_R, from the same initial weights, and evaluated (50 steps, two losses, restarts).
`accuracy_gap` is the largest among the mean gaps (fast - paper, in points, clean and at each epsilon) over seeds; each
gap has its 95 % interval.

`--images FOLDER` (train/<class>/*, test/<class>/*) measures the speed on real images as well, with a small ResNet.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm

from benchmarks.record import record
from benchmarks.turns import in_turn, load, ratio
from core.constructions import Made, Source
from core.context import FolderDataset, Inputs, MemoryContext, StoredDataset
from core.frozen import FrozenModel
from core.images import BLOCK, Images, Splits, blocks, open_dataset, save_dataset
from core.models import Classifier, load_model
from core.run import execute
from core.statistics import t95
from core.studies import training_seed
from core.synthesis import construct
from sieve.specs import (
    ArchitectureRef,
    DatasetRef,
    EvaluateSpec,
    ModelRef,
    RobustConstruction,
    Spec,
    StudySpec,
    SynthesizeSpec,
    Threat,
    TrainSpec,
)
from sieve.specs.attack import PGD

PAPER = RobustConstruction(recipe="paper", steps=1000, step_size=0.1)
FAST = RobustConstruction(recipe="fast")
"""With as many gradients as the specs give it by default; on digits with as many as the preset does."""
SLACK = 1.02
"""The paper's recipe has arrived where its distance is at most this many times the one that it ends at."""
EPSILONS = (0.25, 0.5)
ATTACKS = tuple(
    {"name": "pgd", "options": {"loss": loss, "steps": 50, "restarts": 2, "relative_step": 0.1}}
    for loss in ("cross_entropy", "margin")
)
ROUNDS = 3
TIMED_BLOCKS = 2


class Traced(FrozenModel):
    """A frozen view that has the plain model judge every batch it is given: first x, then each point of the path."""

    def __init__(self, model: Classifier) -> None:
        super().__init__(model, "exact")
        self._judge = model
        self.seen: list[tuple[Tensor, Tensor]] = []
        """Penultimate features of each batch: as the view finds them, and as the plain model does. [n, F] each."""

    def features(self, x: Tensor) -> Tensor:
        """See `FrozenModel`."""
        found = super().features(x)
        with torch.no_grad():
            self.seen.append((found.detach(), self._judge.features(x.detach())))
        return found

    def distances(self) -> tuple[Tensor, Tensor]:
        """To the first batch, of every later one, [points, n]: as the view finds them; relative, by the plain model."""
        goal, wanted = self.seen[0]
        own = torch.stack([vector_norm(found - goal, dim=1) for found, _ in self.seen[1:]])
        judged = torch.stack([vector_norm(found - wanted, dim=1) for _, found in self.seen[1:]])
        return own, judged / vector_norm(wanted, dim=1)


@dataclass(frozen=True)
class Descent:
    """How a recipe went."""

    curve: Sequence[float]
    """Mean relative distance after 0, 1, 2, ... gradients."""
    made: Made
    """What the construction gives, all blocks together."""

    def arrival(self, distance: float) -> int | None:
        """How many gradients it took to be as near as that."""
        return next((gradients for gradients, at in enumerate(self.curve) if at <= distance), None)

    def figures(self) -> dict[str, float]:
        """Of what was made."""
        distance = self.made["feature_distance"]
        return {
            "distance": round(distance.mean().item(), 5),
            "median_distance": round(distance.median().item(), 5),
            "norm": round(self.made["norm"].mean().item(), 3),
            "nearer_to_start": round(100 * self.made["nearer_to_start"].double().mean().item(), 2),
            "source_reads_label": round(100 * self.made["source_reads_label"].double().mean().item(), 2),
        }


def follow(how: RobustConstruction, model: Classifier, data: Splits, seed: int) -> Descent:
    """Make D_R and watch."""
    curves, made = [], []
    for number in range(len(blocks(len(data.train)))):
        view = Traced(model)
        one = _made(how, Source(model, view), data, seed, number)
        own, judged = view.distances()
        if how.recipe == "fast":  # keeps, of the points passed, what is nearest by the view
            judged = judged.gather(0, own.cummin(0).indices)
        else:  # the view is not asked about the last point
            judged = torch.cat([judged, one["feature_distance"][None]])
        curves.append(judged)
        made.append(one)
    curve = torch.cat(curves, dim=1).double().mean(1).tolist()
    return Descent(curve, {name: torch.cat([block[name] for block in made]) for name in made[0]})


def speed(
    model: Classifier, data: Splits, seed: int, fast: RobustConstruction
) -> tuple[dict[str, Any], dict[str, Descent]]:
    """Both recipes followed, then timed to where they arrive."""
    paths: dict[str, Descent] = {how.recipe: follow(how, model, data, seed) for how in (PAPER, fast)}
    end = paths["paper"].curve[-1]
    needed = {"paper": paths["paper"].arrival(SLACK * end), "fast": paths["fast"].arrival(end)}
    found: dict[str, Any] = {
        "gradients": needed,
        "gradients_by_itself": fast.steps,
        **{name: path.figures() for name, path in paths.items()},
    }
    if needed["fast"] is None:
        return {**found, "speedup": None}, paths
    source = Source(model, FrozenModel(model, "exact"))
    numbers = range(len(blocks(len(data.train))))[:TIMED_BLOCKS]

    def timed(how: RobustConstruction) -> None:
        for number in numbers:
            _made(how, source, data, seed, number)

    times = in_turn(
        {
            "paper": lambda: timed(PAPER.model_copy(update={"steps": needed["paper"]})),
            "fast": lambda: timed(fast.model_copy(update={"steps": needed["fast"]})),
            "whole": lambda: timed(fast),
        },
        ROUNDS,
    )
    found |= {
        "seconds": {name: round(statistics.median(time.wall), 3) for name, time in times.items()},
        "speedup": ratio(times["paper"].wall, times["fast"].wall),
        "speedup_in_processor_time": ratio(times["paper"].processor, times["fast"].processor),
        "whole": ratio(times["paper"].wall, times["whole"].wall),
    }
    return found, paths


def taught(path: Descent, study: StudySpec, data: Splits, students: int, folder: Path) -> dict[str, float]:
    """Accuracies in percent, means over students trained on what was made."""
    made, (seed,) = dict(path.made), study.seeds
    save_dataset(folder / "made.safetensors", Images(made.pop("images"), made.pop("labels"), made), data.classes)
    figures: list[dict[str, float]] = []
    for student in range(students):
        training = TrainSpec(
            dataset=DatasetRef(name="@made"),
            architecture=study.architecture,
            seed=training_seed(seed, f"D_R, student {student}"),
            **_fields(study.training),
        )
        inputs = Inputs(datasets={"@made": StoredDataset(folder / "made.safetensors")})
        weights = execute(training, inputs, MemoryContext(folder)).outputs[0].path
        evaluation = EvaluateSpec(
            dataset=study.dataset,
            model=ModelRef(name="@student"),
            threats=(Threat(norm="l2", epsilons=EPSILONS),),
            attacks=ATTACKS,
            noise=(),
            seed=seed,
        )
        seen = execute(evaluation, Inputs(models={"@student": weights}), MemoryContext(folder)).figures
        robust = {f"l2 {epsilon:g}": seen["robust"]["l2"][f"{epsilon:g}"] for epsilon in EPSILONS}
        figures.append({"standard": seen["standard"], **robust})
    return {name: round(100 * statistics.fmean(one[name] for one in figures), 2) for name in figures[0]}


def on_digits(seed: int, students: int) -> dict[str, Any]:
    """The preset at one seed."""
    study = StudySpec.model_validate({"preset": "digits", "seeds": [seed]})
    with tempfile.TemporaryDirectory(prefix="sieve-bench-") as name:
        folder = Path(name)
        data = open_dataset(study.dataset, Inputs(), folder)
        training = TrainSpec(
            dataset=study.dataset,
            architecture=study.architecture,
            seed=training_seed(seed, "D_adv"),
            **_fields(study.adversarial_training),
        )
        model = load_model(execute(training, Inputs(), MemoryContext(folder)).outputs[0].path)
        found, paths = speed(model, data, seed, study.robust)
        accuracy = {name: taught(path, study, data, students, folder) for name, path in paths.items()}
    _say(f"digits, seed {seed}: {found['speedup']} {accuracy}")
    return {"seed": seed, **found, "accuracy": accuracy}


def on_images(images: Path) -> dict[str, Any]:
    """The speed on 48 images of a folder, with a ResNet of 10 layers, 16 wide, trained adversarially on 3,000."""
    reference = DatasetRef(name="@images", limit_train=3000)
    inputs = Inputs(datasets={"@images": FolderDataset(images)})
    training = TrainSpec(
        dataset=reference,
        architecture=ArchitectureRef(name="resnet", options={"depth": 10, "width": 16}),
        epochs=8,
        batch_size=128,
        flip=True,
        crop_padding=4,
        adversary=PGD(epsilon=0.5, steps=4, relative_step=0.35),
        precision="fast",
    )
    with tempfile.TemporaryDirectory(prefix="sieve-bench-") as name:
        result = execute(training, inputs, MemoryContext(Path(name)))
        data = open_dataset(reference, inputs, Path(name))
        few = Splits(data.train.select(slice(48)), data.test, data.classes)
        found, _ = speed(load_model(result.outputs[0].path), few, 0, FAST)
    _say(f"images: {found['speedup']}")
    return {"images": len(few.train), "source": result.figures["validation"], **found}


def _fields(recipe: Spec) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in type(recipe).model_fields}


def _made(how: RobustConstruction, source: Source, data: Splits, seed: int, number: int) -> Made:
    """A block of D_R, as a job makes it."""
    spec = SynthesizeSpec(construction=how, dataset=DatasetRef(name="@d"), model=ModelRef(name="@m"), seed=seed)
    return construct(spec, source, data.train, BLOCK, number=number, classes=len(data.classes))


def _mean_with_interval(gaps: Sequence[float]) -> dict[str, Any]:
    """Points."""
    half = t95(len(gaps) - 1) * statistics.stdev(gaps) / math.sqrt(len(gaps))
    mean = statistics.fmean(gaps)
    return {
        "mean": round(mean, 2),
        "interval": [round(mean - half, 2), round(mean + half, 2)],
        "per_seed": [round(gap, 2) for gap in gaps],
    }


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=Path, help="an image folder to measure the speed on as well")
    parser.add_argument("--seeds", type=int, default=5, help="2 or more")
    parser.add_argument("--students", type=int, default=10, help="trained on each D_R")
    parser.add_argument("--processes", type=int, default=1, help="seeds at once, one a core")
    asked = parser.parse_args()
    busy = load()
    with ProcessPoolExecutor(asked.processes, multiprocessing.get_context("spawn")) as pool:
        real = None if asked.images is None else pool.submit(on_images, asked.images)
        rows = [pool.submit(on_digits, seed, asked.students) for seed in range(asked.seeds)]
    digits = [row.result() for row in rows]
    gaps = {
        name: _mean_with_interval([row["accuracy"]["fast"][name] - row["accuracy"]["paper"][name] for row in digits])
        for name in digits[0]["accuracy"]["paper"]
    }
    speedups = [row["speedup"] for row in digits]
    figures = {
        "speedup": None if None in speedups else statistics.median(one["median"] for one in speedups),
        "accuracy_gap": max((gap["mean"] for gap in gaps.values()), key=abs),
        "gaps": gaps,
        "students": asked.students,
        "processes": asked.processes,
        "load_before": busy,
        "digits": digits,
        "images": None if real is None else real.result(),
    }
    record(asked.out, figures)


if __name__ == "__main__":
    main()
