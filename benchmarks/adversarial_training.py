"""Adversarial training: how long does an epoch take, beside a plain loop with torchattacks, at equal accuracy?

    OMP_NUM_THREADS=1 .venv-peers/bin/python -m benchmarks.adversarial_training --images FOLDER

Leaves out/bench/adversarial_training.json. For each seed both train the small network from the same initial weights, on
the same images in the same order, with the same rates, against l2 PGD of 7 steps; after each epoch of ours comes one of
the peer's, so that whatever else the machine does hits both alike. What both end with is attacked in fp32 and judged by
the plain fp32 model. `ratio` is the peer's seconds for its epochs divided by ours, the median over seeds; setting up
and judging do not count.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.record import FOLDER, record
from benchmarks.subjects import NETWORKS, Subjects, subjects
from benchmarks.turns import Times, load, ratio
from core.context import Checkpoint, Inputs, MemoryContext, StoredDataset
from core.frozen import FrozenModel
from core.images import Images, blocks, open_dataset
from core.judging import Judge, build_attacks
from core.models import Classifier, load_model, new_classifier
from core.run import execute
from core.schedules import relative_rates
from core.seeding import generator
from core.training import channel_statistics, split_for_validation
from sieve.specs import PGD, AttackRef, DatasetRef, Threat, TrainSpec

STRONG = tuple(
    AttackRef(name="pgd", options={"loss": loss, "steps": 20, "restarts": restarts, "relative_step": 0.15})
    for loss, restarts in (("cross_entropy", 1), ("margin", 2))
)
"""The second try on the margin aims at the second best class."""


def recipe(train: int, epochs: int, seed: int) -> TrainSpec:
    """What both do."""
    return TrainSpec(
        dataset=DatasetRef(name="@train", limit_train=train),
        architecture=NETWORKS["small"],
        epochs=epochs,
        batch_size=64,
        learning_rate=0.1,
        adversary=PGD(epsilon=0.5, steps=7, relative_step=0.2),
        validation_fraction=0,
        select="last",
        seed=seed,
        precision="fast",
    )


class PlainLoop:
    """Adversarial training as it is usually written: torchattacks inside a loop with torch's own optimiser."""

    def __init__(self, spec: TrainSpec, model: nn.Module, images: Images) -> None:
        import torchattacks  # noqa: PLC0415

        adversary = spec.adversary
        assert adversary is not None
        self.model, self._spec, self._epoch = model, spec, 0
        self._x, self._y = images.batch(slice(None)), images.labels
        self._attack = torchattacks.PGDL2(
            model,
            eps=adversary.epsilon,
            alpha=adversary.relative_step * adversary.epsilon,
            steps=adversary.steps,
            random_start=adversary.random_start,
        )
        self._optimiser = torch.optim.SGD(
            model.parameters(), lr=1.0, momentum=spec.momentum, weight_decay=spec.weight_decay, nesterov=True
        )
        self._steps = len(images) // spec.batch_size
        self._rates = relative_rates(spec.schedule, spec.epochs * self._steps)

    def epoch(self) -> None:
        """The next one, in the order in which ours goes through the images."""
        spec = self._spec
        order = torch.randperm(len(self._x), generator=generator(spec.seed, "order", self._epoch))
        self.model.train()
        for step in range(self._steps):
            batch = order[step * spec.batch_size : (step + 1) * spec.batch_size]
            x, y = self._x[batch], self._y[batch]
            x = self._attack(x, y)  # in evaluation mode, and back in training mode when it is done
            for group in self._optimiser.param_groups:
                group["lr"] = spec.learning_rate * self._rates[self._epoch * self._steps + step]
            self._optimiser.zero_grad()
            nn.functional.cross_entropy(self.model(x), y).backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
        self._epoch += 1


@dataclass
class Clock:
    """What epochs take."""

    times: Times = field(default_factory=Times)
    _began: tuple[float, float] | None = None

    def start(self) -> None:
        """Unless it runs."""
        self._began = self._began or (time.perf_counter(), time.process_time())

    def stop(self) -> None:
        """One epoch more."""
        assert self._began is not None
        self.times.wall.append(time.perf_counter() - self._began[0])
        self.times.processor.append(time.process_time() - self._began[1])
        self._began = None


class Alternating(MemoryContext):
    """Runs one of the peer's epochs at each safe point of ours, and takes the time of both."""

    def __init__(self, scratch: Path, peer: Callable[[], None]) -> None:
        super().__init__(scratch)
        self.ours, self.peers, self._peer = Clock(), Clock(), peer

    def progress(self, phase: str, step: int, total: int) -> None:
        """The first batch of an epoch starts our clock."""
        del phase
        if step < total:
            self.ours.start()

    def safe_point(self, step: int, state: Callable[[], Checkpoint]) -> None:
        """Our epoch is over; now the peer's."""
        del step, state
        self.ours.stop()
        self.peers.start()
        self._peer()
        self.peers.stop()


def one_seed(found: Subjects, spec: TrainSpec, test: int, folder: Path) -> dict[str, Any]:
    """Both trainings, timed, and what both models can do."""
    inputs = Inputs(datasets={"@train": StoredDataset(found.train)})
    splits = open_dataset(spec.dataset, inputs, folder)
    images, _ = split_for_validation(splits.train, spec)
    mean, std = channel_statistics(images)
    _, channels, height, width = images.pixels.shape
    shape = channels, height, width
    model = new_classifier(spec.architecture, shape, len(splits.classes), mean=mean, std=std, seed=spec.seed)
    PlainLoop(spec, copy.deepcopy(model), images.select(slice(spec.batch_size))).epoch()  # what comes first is slow
    context = Alternating(folder, PlainLoop(spec, model, images).epoch)
    made = execute(spec, inputs, context).outputs[0].path
    judge_on = found.test_images().select(slice(test))
    ours, peers = context.ours.times, context.peers.times
    return {
        "ratio": round(sum(peers.wall) / sum(ours.wall), 2),
        "ratio_of_processor_time": round(sum(peers.processor) / sum(ours.processor), 2),
        "ratio_of_epochs": ratio(peers.wall, ours.wall),
        "seconds_an_epoch": {
            "ours": round(statistics.median(ours.wall), 2),
            "peer": round(statistics.median(peers.wall), 2),
        },
        "ours": judged(judge_on, load_model(made)),
        "peer": judged(judge_on, model),
    }


def judged(images: Images, model: Classifier) -> dict[str, float]:
    """Percent of the images read right as they are, and after every try of the strong attack in fp32."""
    model = model.eval()
    judge, attacks, threat = (
        Judge(model, FrozenModel(model, "exact"), 0),
        build_attacks(STRONG),
        Threat(epsilons=(0.5,)),
    )
    flags: dict[str, list[Tensor]] = {"standard": [], "robust": []}
    for number, block in enumerate(blocks(len(images))):
        x, y = images.batch(block), images.labels[block]
        flags["standard"].append(judge.read(x) == y)
        flags["robust"].append(list(judge.attacked(x, y, threat, attacks, (number,)).values())[-1])
    return {name: round(100 * torch.cat(held).double().mean().item(), 2) for name, held in flags.items()}


def gap(found: list[dict[str, Any]], figure: str) -> dict[str, Any]:
    """Ours less the peer's in points: mean over seeds, each seed's, and the standard error of the mean."""
    gaps = [one["ours"][figure] - one["peer"][figure] for one in found]
    error = statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else None
    return {
        "mean": round(statistics.fmean(gaps), 2),
        "standard_error": None if error is None else round(error, 2),
        "seeds": [round(one, 2) for one in gaps],
    }


def main() -> None:
    """Read the options, train, judge, write."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--images", type=Path, help="an image folder; planted images without")
    parser.add_argument("--out", type=Path, default=FOLDER / "adversarial_training.json")
    parser.add_argument("--cache", type=Path, default=FOLDER / "cache")
    parser.add_argument("--train", type=int, default=1024, help="training images")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--test", type=int, default=512, help="images to judge on")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    found = subjects(asked.images, asked.cache)
    busy = load()
    with tempfile.TemporaryDirectory() as folder:
        seeds = []
        for seed in range(asked.seeds):
            seeds.append(one_seed(found, recipe(asked.train, asked.epochs, seed), asked.test, Path(folder) / str(seed)))
            print(seeds[-1], file=sys.stderr, flush=True)
    ratios = [one["ratio"] for one in seeds]
    standard, robust = gap(seeds, "standard"), gap(seeds, "robust")
    figures = {
        "ratio": statistics.median(ratios),
        "ratio_spread": [min(ratios), max(ratios)],
        "ratio_of_processor_time": statistics.median(one["ratio_of_processor_time"] for one in seeds),
        "accuracy_gap": max(standard["mean"], robust["mean"], key=abs),
        "standard_gap": standard,
        "robust_gap": robust,
        "seeds": seeds,
        "subjects": found.name,
        "recipe": recipe(asked.train, asked.epochs, 0).model_dump(mode="json"),
        "judged": {"images": asked.test, "epsilon": 0.5, "attacks": [ref.model_dump(mode="json") for ref in STRONG]},
        "load": busy,
    }
    record(asked.out, figures, ("torch", "torchattacks"))


if __name__ == "__main__":
    main()
