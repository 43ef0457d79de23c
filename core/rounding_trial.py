"""What 8 bits a channel do to a model that is trained on a dataset: trainings in pairs, one on it as it is, one on it
rounded, that share network, recipe, initial weights and order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from core.context import Context, Inputs, Result, StoredDataset
from core.images import Images, Splits, blocks, save_dataset
from core.models import Classifier, load_model
from core.rounding import eight_bits
from core.statistics import t95
from core.training import train
from sieve.specs import DatasetRef, TrainSpec
from sieve.specs.describe import RoundingTrial

FORMS = ("exact", "rounded")


class Within:
    """The context of a routine that is a part of another's: it may be stopped, and leaves no checkpoints."""

    def __init__(self, outer: Context, phase: str, scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.device, self.data_folder, self.scratch = outer.device, outer.data_folder, scratch
        self.log = outer.log
        self._outer, self._phase = outer, phase

    def progress(self, phase: str, step: int, total: int) -> None:
        """Pass it on, under the outer routine's name for it."""
        del phase
        self._outer.progress(self._phase, step, total)

    def metric(self, name: str, value: float, step: int) -> None:
        """Curves of the parts are not kept."""

    def resume(self) -> None:
        """Always from the beginning."""

    def chain(self) -> tuple[()]:
        """As `resume`."""
        return ()

    def safe_point(self, step: int, state: Any) -> None:
        """Nothing is kept."""


def rounding_trial(trial: RoundingTrial, dataset: Splits, judged: Images, context: Context) -> dict[str, Any]:
    """Train the pairs, and judge them on test images by the plain fp32 model.

    Returns:
        `images`: judged on; `pairs`: for each seed the standard accuracies `exact` and `rounded`, and on how many
        images both models `agree`, as fractions; `difference`: mean of rounded - exact, and for several seeds the half
        width of its 95 % interval (Student's t).
    """
    scratch = context.scratch / "rounding"
    scratch.mkdir(exist_ok=True)
    rounded = replace(dataset.train, pixels=_rounded(dataset.train))
    stored = {}
    for form, images in zip(FORMS, (dataset.train, rounded), strict=True):
        save_dataset(scratch / form, replace(images, columns={}), dataset.classes)
        stored[form] = StoredDataset(scratch / form)
    pairs = []
    for seed in trial.seeds:
        read = {}
        for form in FORMS:
            recipe = {name: getattr(trial, name) for name in type(trial).model_fields if name != "seeds"}
            spec = TrainSpec.model_validate(recipe | {"dataset": DatasetRef(name=form), "seed": seed})
            within = Within(context, f"training on it {form}, seed {seed}", scratch / f"{form}-{seed}")
            made: Result = train(spec, Inputs(datasets=stored), within)
            read[form] = _read(load_model(made.outputs[0].path).to(context.device), judged)
        right = {form: (read[form] == judged.labels.cpu()).double().mean().item() for form in FORMS}
        pairs.append({"seed": seed, **right, "agree": (read["exact"] == read["rounded"]).double().mean().item()})
    differences = torch.tensor([pair["rounded"] - pair["exact"] for pair in pairs], dtype=torch.float64)
    half = t95(len(pairs) - 1) * (differences.std() / len(pairs) ** 0.5).item() if len(pairs) > 1 else None
    return {"images": len(judged), "pairs": pairs, "difference": {"mean": differences.mean().item(), "half": half}}


def _rounded(images: Images) -> torch.Tensor:
    """float32 [n, C, H, W], the nearest multiples of 1/255."""
    return torch.cat([eight_bits(images.batch(block)) for block in blocks(len(images))])


@torch.no_grad()
def _read(model: Classifier, images: Images) -> torch.Tensor:
    """The classes that a model sees, int64 [n], on the CPU."""
    device = next(model.parameters()).device
    parts = [model(images.batch(block).to(device)).argmax(1).cpu() for block in blocks(len(images))]
    return torch.cat(parts)
