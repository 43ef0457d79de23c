"""PGD: how many images x steps a second, beside torchattacks, foolbox and ART, at equal strength?

    OMP_NUM_THREADS=1 .venv-peers/bin/python -m benchmarks.attacks --images FOLDER

Leaves out/bench/attacks.json. For each network, two trained models: a standard and an adversarially trained one. All
contestants take all steps on all images, each at its best of three batch sizes; the fastest peer and we then attack the
same images in turn, a part of them each round. The plain fp32 model judges what they found. Networks are trained once
and kept in the cache folder.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants import PEERS, Attack, Counted, Setting, in_batches, ours
from benchmarks.record import FOLDER, record
from benchmarks.subjects import Subjects, epsilon_for, subjects
from benchmarks.turns import Times, in_turn, load, ratio
from core.frozen import FrozenModel
from core.losses import cross_entropy
from core.models import Classifier

US, PEER, BORROWED = "ours", "peer", "peer on our fast model"


@dataclass(frozen=True)
class Size:
    """How much is done with a network, so that all of it fits into a few minutes."""

    images: int
    """Attacked, of each model."""
    part: int
    """Images a round."""
    steps: int
    relative_step: float
    batches: tuple[int, int, int]
    standard: tuple[int, int]
    """Epochs and images of the training."""
    adversarial: tuple[int, int]
    tries: int
    """Of each batch size of each contestant, before the rounds."""


SIZES = {
    "small": Size(1024, 256, 20, 0.1, (64, 128, 256), standard=(5, 10_000), adversarial=(4, 10_000), tries=3),
    "resnet18": Size(512, 128, 5, 0.3, (16, 32, 64), standard=(2, 1500), adversarial=(2, 1000), tries=1),
}


@dataclass
class Entrant:
    """Attacks the next part of the images each time that it is called, and keeps what it found."""

    attack: Attack
    batch: int
    images: Tensor
    labels: Tensor
    part: int
    found: list[Tensor] = field(default_factory=list)

    def __call__(self) -> None:
        """One round."""
        at = slice(len(self.found) * self.part, (len(self.found) + 1) * self.part)
        self.found.append(in_batches(self.attack, self.images[at], self.labels[at], self.batch))

    def warm(self) -> None:
        """One batch, for nothing."""
        self.attack(self.images[: self.batch], self.labels[: self.batch])


def compare(network: str, models: dict[str, tuple[Classifier, float]], images: Tensor, labels: Tensor) -> Any:
    """Everything about one network. `models` by what they are, with the epsilon to attack each at."""
    size = SIZES[network]
    screened = screen(size, *next(iter(models.values())), images, labels)
    batch = {name: min(by_batch, key=by_batch.__getitem__) for name, by_batch in screened.items()}
    fastest = min(PEERS, key=lambda name: screened[name][batch[name]])
    times: dict[str, Times] = {name: Times() for name in (US, PEER, BORROWED)}
    by_model: dict[str, dict[str, Any]] = {}
    for which, (model, epsilon) in models.items():
        setting = Setting(epsilon, size.steps, size.relative_step, model.head.out_features)
        view = FrozenModel(model, "fast")
        attacks = {
            US: (ours(view, setting), batch[US]),
            PEER: (PEERS[fastest](model, setting), batch[fastest]),
            BORROWED: (PEERS[fastest](Counted(view.logits, model), setting), batch[US]),
        }
        entrants = {name: Entrant(*of, images, labels, size.part) for name, of in attacks.items()}
        for entrant in entrants.values():
            entrant.warm()
        for name, taken in in_turn(entrants, len(images) // size.part, warm=False).items():
            times[name].wall += taken.wall
            times[name].processor += taken.processor
        strengths = {name: strength(model, torch.cat(of.found), labels) for name, of in entrants.items()}
        by_model[which] = {
            "epsilon": epsilon,
            "standard": strength(model, images, labels)["robust"],
            "found": strengths,
            "strength_gap": round(strengths[US]["robust"] - strengths[PEER]["robust"], 3),
            "loss_gap": round(strengths[US]["loss"] - strengths[PEER]["loss"], 4),
        }
    work = size.part * size.steps
    ratios = ratio(times[PEER].wall, times[US].wall)
    return {
        "ratio": ratios["median"],
        "ratio_uncompiled": ratios["median"],
        "ratio_spread": ratios,
        "ratio_of_processor_time": ratio(times[PEER].processor, times[US].processor),
        "ratio_to_peer_on_our_fast_model": ratio(times[BORROWED].wall, times[US].wall),
        "strength_gap": round(statistics.mean(found["strength_gap"] for found in by_model.values()), 3),
        "loss_gap": round(statistics.mean(found["loss_gap"] for found in by_model.values()), 4),
        "models": by_model,
        "fastest_peer": fastest,
        "batch": batch,
        "images_steps_per_second": {name: round(work / statistics.median(of.wall)) for name, of in times.items()},
        "screening": {
            name: {str(size): round(1 / seconds) for size, seconds in by_batch.items()}
            for name, by_batch in screened.items()
        },
        "passes_an_image": passes(size, *next(iter(models.values())), images, labels),
        "images": len(images),
        "steps": size.steps,
        "relative_step": size.relative_step,
        "rounds": len(times[US].wall),
        "compiled": False,
    }


def screen(
    size: Size, model: Classifier, epsilon: float, images: Tensor, labels: Tensor
) -> dict[str, dict[int, float]]:
    """Seconds an image and step of every contestant at each batch size: the best of `tries` of two steps."""
    setting = Setting(epsilon, 2, size.relative_step, model.head.out_features)
    attacks = {US: ours(FrozenModel(model, "fast"), setting)}
    attacks |= {name: peer(model, setting) for name, peer in PEERS.items()}
    x, y = images[: max(size.batches)], labels[: max(size.batches)]

    def run(attack: Attack, batch: int) -> Callable[[], object]:
        return lambda: in_batches(attack, x, y, batch)

    entrants = {(name, batch): run(attack, batch) for name, attack in attacks.items() for batch in size.batches}
    taken = in_turn({f"{name} {batch}": entrant for (name, batch), entrant in entrants.items()}, size.tries, warm=False)
    found: dict[str, dict[int, float]] = {name: {} for name in attacks}
    for name, batch in entrants:
        found[name][batch] = min(taken[f"{name} {batch}"].wall) / len(x) / setting.steps
    return found


def passes(size: Size, model: Classifier, epsilon: float, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Passes forward and back for each image that everybody really makes, counted."""
    setting = Setting(epsilon, size.steps, size.relative_step, model.head.out_features)
    x, y = images[:8], labels[:8]
    found = {}
    for name, contestant in {US: None, **PEERS}.items():
        counted = Counted(FrozenModel(model, "fast").logits if contestant is None else model, model)
        (ours(counted, setting) if contestant is None else contestant(counted, setting))(x, y)
        found[name] = {"forward": counted.forwards / len(x), "back": counted.backwards / len(x)}
    return found


@torch.no_grad()
def strength(model: Classifier, found: Tensor, labels: Tensor) -> dict[str, float]:
    """Percent of the images that the plain fp32 model still reads right, and its mean cross-entropy on them."""
    logits = torch.cat([model(found[at : at + 128]) for at in range(0, len(found), 128)])
    return {
        "robust": round(100 * (logits.argmax(1) == labels).float().mean().item(), 3),
        "loss": round(cross_entropy(logits, labels).mean().item(), 4),
    }


def trained(found: Subjects, network: str) -> dict[str, tuple[Classifier, float]]:
    """The two models, and the epsilon at which each keeps about half of what it reads right."""
    size = SIZES[network]
    models = {}
    for which, (epochs, images) in (("standard", size.standard), ("adversarial", size.adversarial)):
        model = found.trained(network, adversarial=which == "adversarial", epochs=epochs, images=images)
        models[which] = model, epsilon_for(model, found.test_images(), size.steps, size.relative_step)
    return models


def main() -> None:
    """Train what is not in the cache, measure, write."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--images", type=Path, help="an image folder; planted images without")
    parser.add_argument("--out", type=Path, default=FOLDER / "attacks.json")
    parser.add_argument("--cache", type=Path, default=FOLDER / "cache")
    parser.add_argument("--networks", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--only-train", action="store_true", help="fill the cache")
    asked = parser.parse_args()
    found = subjects(asked.images, asked.cache)
    models = {network: trained(found, network) for network in asked.networks}
    if asked.only_train:
        return
    test = found.test_images()
    figures: dict[str, Any] = {"subjects": found.name, "load": load()}
    for network, of in models.items():
        count = SIZES[network].images
        figures[network] = compare(network, of, test.batch(slice(count)), test.labels[:count])
    record(asked.out, figures, packages=("torch", "torchattacks", "foolbox", "adversarial-robustness-toolbox"))


if __name__ == "__main__":
    main()
