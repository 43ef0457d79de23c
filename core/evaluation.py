"""Evaluation: a model on clean, noisy and attacked test images, and its reading of constructed datasets.

Every figure is a mean over one flag an image; the flags are kept beside the figures. Blocks of 256 images are the unit
of work: draws are functions of (seed, purpose, block), and checkpoints lie between blocks, so a resumed evaluation
gives the same figures on a CPU. Where memory runs out, a block goes through the network in parts; the figures say so.

Where attacks search in less than fp32, a sample of the images is attacked again in fp32; see `core.reattack`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from core import reattack
from core.context import Checkpoint, Context, Inputs, Output, Result
from core.frozen import FrozenModel
from core.images import BLOCK, Images, blocks, open_dataset
from core.judging import Flags, Judge, Place, build_attacks
from core.memory import AtOnce, parts
from core.models import load_model
from core.tensorfile import write_tensors
from sieve.specs import EvaluateSpec

TEST, AGAIN = -1, -2
"""Stand for the test images, and for those of them that are attacked again, where readings are counted from 0."""


def evaluate(spec: EvaluateSpec, inputs: Inputs, context: Context, *, planned: int = BLOCK) -> Result:
    """Judge a model, and leave the per-image flags as `evaluation.safetensors`.

    The flags are named as in `core.judging`; `again/<...>` are those of the images `again/index`, attacked in fp32.
    `planned` images go through the network at once, fewer where memory runs out.
    """
    began = time.monotonic()
    test = open_dataset(spec.dataset, inputs, context.data_folder).test.to(context.device)
    readings = [open_dataset(ref, inputs, context.data_folder).train.to(context.device) for ref in spec.readings]
    model = load_model(inputs.models[spec.model.name]).to(context.device)
    judge = Judge(model, FrozenModel(model, spec.precision), spec.seed)
    exact = judge if spec.precision == "exact" else Judge(model, FrozenModel(model, "exact"), spec.seed)
    attacked_again = judge.view.reduced and bool(spec.threats)
    order = reattack.sample_first(len(test), spec.seed) if attacked_again else torch.arange(len(test))
    test = test.select(order.to(context.device))
    again = test.select(slice(reattack.SAMPLE if attacked_again else 0))
    attacks = build_attacks(spec.attacks)

    def attacked(by: Judge, images: Images, places: slice, place: Place) -> Flags:
        x, y = images.batch(places), images.labels[places]
        flags: Flags = {}
        for threat in spec.threats:
            flags |= by.attacked(x, y, threat, attacks, place)
        return flags

    def flags_of(part: int, places: slice, place: Place) -> Flags:
        if part == AGAIN:
            return _under("again", attacked(exact, again, places, place))
        if part != TEST:
            return _under(f"reading/{part}", judge.reading(readings[part], places))
        x, y = test.batch(places), test.labels[places]
        return judge.clean(x, y) | judge.noisy(x, y, spec.noise, place) | attacked(judge, test, places, place)

    def block_of(part: int, number: int, block: slice, images: int) -> Flags:
        starts = [(some, some.start - block.start) for some in parts(block, images)]
        return _joined([flags_of(part, some, (number, start) if start else (number,)) for some, start in starts])

    all_images: list[tuple[int, Images]] = [(TEST, test), *enumerate(readings), (AGAIN, again)]
    work = [(part, *numbered) for part, images in all_images for numbered in enumerate(blocks(len(images)))]
    at_once = AtOnce(planned)
    checkpoint = context.resume()
    done: list[Mapping[str, Tensor]] = []
    if checkpoint is not None:
        done.append(checkpoint.tensors)
        at_once.restore(checkpoint.values)
    for step in range(0 if checkpoint is None else checkpoint.step, len(work)):
        context.progress("evaluation", step, len(work))
        flags = at_once.fitting(partial(block_of, *work[step]), context)
        done.append({name: held.cpu() for name, held in flags.items()})
        context.progress("evaluation", step + 1, len(work))
        context.safe_point(step + 1, partial(_checkpoint, step + 1, done, at_once))

    flags = _in_order(_joined(done), order)
    if attacked_again:
        flags["again/index"] = order[: reattack.SAMPLE]
    path = context.scratch / "evaluation.safetensors"
    write_tensors(path, flags, {"format": "evaluation", "version": 1})
    figures = _figures(spec, flags, list(attacks))
    cautions = [*_too_weak(figures["reattack"]), *at_once.cautions()]
    figures |= {"at_once": at_once.figures(), "cautions": cautions, "seconds": time.monotonic() - began}
    return Result(figures, (Output(path.name, path, "data", "application/octet-stream"),))


def _under(part: str, flags: Flags) -> Flags:
    return {f"{part}/{name}": held for name, held in flags.items()}


def _in_order(flags: Flags, order: Tensor) -> Flags:
    """Those of the test images in the order of the dataset."""
    place = order.argsort()
    return {name: held if name.startswith(("again/", "reading/")) else held[place] for name, held in flags.items()}


def _joined(done: Sequence[Mapping[str, Tensor]]) -> Flags:
    names = dict.fromkeys(name for flags in done for name in flags)
    return {name: torch.cat([flags[name] for flags in done if name in flags]) for name in names}


def _checkpoint(step: int, done: Sequence[Mapping[str, Tensor]], at_once: AtOnce) -> Checkpoint:
    return Checkpoint(step, _joined(done), at_once.values())


def _too_weak(reattacked: Mapping[str, Mapping[str, Any]] | None) -> list[str]:
    found = [(norm, epsilon, one) for norm, held in (reattacked or {}).items() for epsilon, one in held.items()]
    return [said for norm, epsilon, one in found if (said := reattack.caution(norm, epsilon, one)) is not None]


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
        "reattack": _reattacked(spec, flags, attacks[-1]) if "again/index" in flags else None,
        "noise": {f"{sigma:g}": _fraction(flags[f"noise/{sigma:g}"]) for sigma in spec.noise},
        "shifted": _fraction(flags["shifted"]),
        "zero_gradients": int(flags["zero_gradient"].sum()),
        "readings": [
            _reading(ref.name, flags[f"reading/{at}/stored"], flags[f"reading/{at}/changed"])
            for at, ref in enumerate(spec.readings)
        ],
    }


def _reattacked(spec: EvaluateSpec, flags: Flags, attack: str) -> dict[str, Any]:
    """By norm and epsilon: what all attacks left of the sample, searching as the spec says and in fp32."""
    index = flags["again/index"]

    def one(name: str) -> dict[str, Any]:
        return reattack.compared(flags[name][index], flags["again/" + name])

    return {
        threat.norm: {f"{eps:g}": one(f"robust/{threat.norm}/{eps:g}/{attack}") for eps in sorted(threat.epsilons)}
        for threat in spec.threats
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
