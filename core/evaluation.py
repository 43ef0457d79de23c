"""Evaluation: a model on clean, noisy and attacked test images, and its reading of constructed datasets.

Every figure is a mean over one flag an image; the flags are kept beside the figures. Blocks of 256 images are the unit
of work: draws are functions of (seed, purpose, block), and checkpoints lie between blocks, so a resumed evaluation
gives the same figures on a CPU.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from core.context import Checkpoint, Context, Inputs, Output, Result
from core.frozen import FrozenModel
from core.images import Images, blocks, open_dataset
from core.judging import Flags, Judge, build_attacks
from core.models import load_model
from core.tensorfile import write_tensors
from sieve.specs import EvaluateSpec

TEST = -1
"""Stands for the test images where readings are counted from 0."""


def evaluate(spec: EvaluateSpec, inputs: Inputs, context: Context) -> Result:
    """Judge a model, and leave the per-image flags as `evaluation.safetensors` (see `core.judging` for their names)."""
    began = time.monotonic()
    test = open_dataset(spec.dataset, inputs, context.data_folder).test.to(context.device)
    readings = [open_dataset(ref, inputs, context.data_folder).train.to(context.device) for ref in spec.readings]
    model = load_model(inputs.models[spec.model.name]).to(context.device)
    judge = Judge(model, FrozenModel(model, spec.precision), spec.seed)
    attacks = build_attacks(spec.attacks)

    def flags_of(part: int, number: int, block: slice) -> Flags:
        if part != TEST:
            found = judge.reading(readings[part], block)
            return {f"reading/{part}/{name}": flags for name, flags in found.items()}
        x, y = test.batch(block), test.labels[block]
        flags = judge.clean(x, y) | judge.noisy(x, y, spec.noise, number)
        for threat in spec.threats:
            flags |= judge.attacked(x, y, threat, attacks, number)
        return flags

    parts: list[tuple[int, Images]] = [(TEST, test), *enumerate(readings)]
    work = [(part, *numbered) for part, images in parts for numbered in enumerate(blocks(len(images)))]
    checkpoint = context.resume()
    done: list[Mapping[str, Tensor]] = [] if checkpoint is None else [checkpoint.tensors]
    for step in range(0 if checkpoint is None else checkpoint.step, len(work)):
        context.progress("evaluation", step, len(work))
        done.append({name: flags.cpu() for name, flags in flags_of(*work[step]).items()})
        context.progress("evaluation", step + 1, len(work))
        context.safe_point(step + 1, partial(_checkpoint, step + 1, done))

    flags = _joined(done)
    path = context.scratch / "evaluation.safetensors"
    write_tensors(path, flags, {"format": "evaluation", "version": 1})
    figures = _figures(spec, flags, list(attacks)) | {"seconds": time.monotonic() - began}
    return Result(figures, (Output(path.name, path, "data", "application/octet-stream"),))


def _joined(done: Sequence[Mapping[str, Tensor]]) -> Flags:
    names = dict.fromkeys(name for flags in done for name in flags)
    return {name: torch.cat([flags[name] for flags in done if name in flags]) for name in names}


def _checkpoint(step: int, done: Sequence[Mapping[str, Tensor]]) -> Checkpoint:
    return Checkpoint(step, _joined(done))


def _figures(spec: EvaluateSpec, flags: Flags, attacks: Sequence[str]) -> dict[str, Any]:
    """The flags summed up. `by_attack` is what each attack, in turn, has left; the last one's is `robust`."""
    by_attack = {
        threat.norm: {
            f"{epsilon:g}": {label: _fraction(flags[f"robust/{threat.norm}/{epsilon:g}/{label}"]) for label in attacks}
            for epsilon in sorted(threat.epsilons)
        }
        for threat in spec.threats
    }
    return {
        "images": len(flags["standard"]),
        "standard": _fraction(flags["standard"]),
        "robust": {
            norm: {epsilon: left[attacks[-1]] for epsilon, left in by_epsilon.items()}
            for norm, by_epsilon in by_attack.items()
        },
        "by_attack": by_attack,
        "noise": {f"{sigma:g}": _fraction(flags[f"noise/{sigma:g}"]) for sigma in spec.noise},
        "shifted": _fraction(flags["shifted"]),
        "zero_gradients": int(flags["zero_gradient"].sum()),
        "readings": [
            _reading(ref.name, flags[f"reading/{at}/stored"], flags[f"reading/{at}/changed"])
            for at, ref in enumerate(spec.readings)
        ],
    }


def _reading(dataset: str, stored: Tensor, changed: Tensor) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "images": len(stored),
        "stored": _fraction(stored),
        "stored_where_changed": _fraction(stored[changed]) if changed.any() else None,
        "images_where_changed": int(changed.sum()),
    }


def _fraction(flags: Tensor) -> float:
    return flags.double().mean().item()
