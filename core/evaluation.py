"""Evaluation: a model on clean, noisy and attacked test images, and its reading of constructed datasets.

Every figure is a mean over one flag an image; the flags are kept beside the figures. Blocks of 256 images are the unit
of work: draws are functions of (seed, purpose, block). Checkpoints lie between the tries of the attacks on a block, so
a resumed evaluation gives the same figures on a CPU, and so does one whose blocks were shared out (`core.harvest`).
Where memory runs out, a block goes through the network in parts; the figures say so.

Where attacks search in less than fp32, a sample of the images is attacked again in fp32; see `core.reattack`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core import reattack
from core.apgd import APGDAttack
from core.cards import ATTACKS
from core.cautions import cautions
from core.context import Context, Inputs, Output, Result
from core.ensembles import members
from core.errors import MixedArithmetic
from core.frozen import FrozenModel
from core.harvest import WHOLE, Gathered, Harvest, Share, gathered, joined
from core.images import BLOCK, Images, blocks, open_dataset
from core.judging import KEPT, Flags, Judge, Place, Try, build_attacks, tries, within
from core.memory import AtOnce, parts
from core.models import load_model
from core.tensorfile import write_tensors
from sieve.specs import EvaluateSpec, Threat

TEST, AGAIN, PROBE = -1, -2, -3
"""Stand for the test images, for those of them that are attacked again, and for those that attacks are probed on, where
readings are counted from 0."""

PHASES = {TEST: "attacks", AGAIN: "attacks in fp32", PROBE: "probes"}
"""What the work on them is called; readings are `readings`."""


PROBED = 64
"""Test images that attacks are probed on."""
PROBE_STEPS = 100
"""Of the longer attack, and of the one that goes any distance."""


@dataclass(frozen=True)
class Unit:
    """What is done between two safe points: a try of an attack on a block, or all else that is asked about it."""

    part: int
    number: int
    block: slice
    one: Try | None
    last: bool
    """Is the block done after it?"""

    @property
    def under(self) -> str:
        """What the names of its flags begin with."""
        return {TEST: "", AGAIN: "again/", PROBE: "probe/"}.get(self.part, f"reading/{self.part}/")


def evaluate(spec: EvaluateSpec, inputs: Inputs, context: Context, *, planned: int = BLOCK) -> Result:
    """Judge a model, and leave the per-image flags as `evaluation.safetensors`.

    `examples.safetensors` keeps all images with what became of them under attack, all logits and distances; `verify.py`
    counts every accuracy again from that.

    The flags are named as in `core.judging`; `again/<...>` are those of the images `again/index`, attacked in fp32.
    `planned` images go through the network at once, fewer where memory runs out. Where `inputs.parts` holds what the
    jobs of all shares left, that is only put together.

    Raises:
        MixedArithmetic: some images were attacked in less than fp32, and some were not.
    """
    found = gathered(inputs.parts) if inputs.parts else judged(spec, WHOLE, inputs, context, planned=planned)
    flags = {name: held for name, held in found.columns.items() if not name.startswith("again/" + KEPT)}
    reduced = flags.pop("reduced")
    if reduced.any() and not reduced.all():
        raise MixedArithmetic
    if spec.threats:
        flags["probe/index"] = torch.arange(len(reduced))[:PROBED]
    if reduced.any():
        order = reattack.sample_first(len(reduced), spec.seed)
        flags = _in_order(flags, order)
        flags["again/index"] = order[: reattack.SAMPLE]
        flags["probe/index"] = order[:PROBED]
    kept = {name.removeprefix(KEPT): flags.pop(name) for name in list(flags) if name.startswith(KEPT)}
    path = context.scratch / "evaluation.safetensors"
    write_tensors(path, flags, {"format": "evaluation", "version": 1})
    figures = _figures(spec, flags, list(build_attacks(spec.attacks)))
    black_box = [ATTACKS.get(ref.name).black_box for ref in members(spec.attacks)]
    said = [*_too_weak(figures["reattack"]), *found.at_once.cautions(), *cautions(figures, black_box)]
    figures |= {"at_once": found.at_once.figures(), "cautions": said, "seconds": found.seconds}
    outputs = (Output(path.name, path, "data", "application/octet-stream"), *_examples(kept, figures, context.scratch))
    return Result(figures, outputs)


def judged(spec: EvaluateSpec, share: Share, inputs: Inputs, context: Context, *, planned: int = BLOCK) -> Gathered:
    """The flags of a share of the blocks of the test images, of each reading, and of the images attacked again.

    `reduced` says of each test image whether it was attacked in less than fp32; then the sample comes first.
    """
    test = open_dataset(spec.dataset, inputs, context.data_folder).test.to(context.device)
    readings = [open_dataset(ref, inputs, context.data_folder).train.to(context.device) for ref in spec.readings]
    model = load_model(inputs.models[spec.model.name]).to(context.device)
    judge = Judge(model, FrozenModel(model, spec.precision), spec.seed)
    exact = judge if spec.precision == "exact" else Judge(model, FrozenModel(model, "exact"), spec.seed)
    attacked_again = judge.view.reduced and bool(spec.threats)
    if attacked_again:
        test = test.select(reattack.sample_first(len(test), spec.seed).to(context.device))
    again = test.select(slice(reattack.SAMPLE if attacked_again else 0))
    probed = test.select(slice(PROBED if spec.threats else 0))
    attacks = build_attacks(spec.attacks)
    each = [one for threat in spec.threats for one in tries(threat, attacks)]

    def found(unit: Unit, places: slice, place: Place, hand: Flags) -> Flags:
        if unit.part not in PHASES:
            return judge.reading(readings[unit.part], places)
        by, images = (exact, again) if unit.part == AGAIN else (judge, test)
        x, y = images.batch(places), images.labels[places]
        if unit.part == PROBE:
            return _probe(spec, exact, x, y, place)
        if unit.one is not None:
            return by.tried(x, y, unit.one, hand, place)
        reduced = torch.full_like(y, attacked_again, dtype=torch.bool)
        flags = by.clean(x, y) | by.noisy(x, y, spec.noise, place)
        flags |= by.damaged(x, y, spec.corruptions, spec.severities, place)
        return {"reduced": reduced, KEPT + "images": images.pixels[places], KEPT + "labels": y} | flags

    def in_parts(unit: Unit, hand: Flags, images: int) -> Flags:
        pieces = []
        for some in parts(unit.block, images):
            start, stop = some.start - unit.block.start, some.stop - unit.block.start
            here = {name.removeprefix(unit.under): held[start:stop] for name, held in hand.items()}
            pieces.append(found(unit, some, (unit.number, start) if start else (unit.number,), here))
        return {unit.under + name: held for name, held in joined(pieces).items()}

    work = [
        *_units(TEST, test, share, [None, *each]),
        *(unit for part, images in enumerate(readings) for unit in _units(part, images, share, [None])),
        *_units(AGAIN, again, share, each),
        *_units(PROBE, probed, share, [None]),
    ]
    at_once = AtOnce(planned)
    harvest = Harvest(context, at_once, steps=len(work))
    hand = {name: held.to(context.device) for name, held in harvest.hand.items()}
    # Told by phases, since within one a unit costs about what another costs: so the time left can be told.
    phases = [PHASES.get(unit.part, "readings") for unit in work]
    counted = {phase: (phases.index(phase), phases.count(phase)) for phase in dict.fromkeys(phases)}
    for step in range(harvest.step, len(work)):
        unit, phase = work[step], phases[step]
        first, count = counted[phase]
        context.progress(phase, step - first, count)
        hand |= at_once.fitting(partial(in_parts, unit, hand), context)
        if unit.last:
            harvest.add(_all_counted(unit, hand, again if unit.part == AGAIN else test))
            hand = {}
        harvest.safe_point(step + 1, hand)
    return harvest.whole()


def _units(part: int, images: Images, share: Share, each: Sequence[Try | None]) -> list[Unit]:
    """The work on the blocks of some images that belong to a share."""
    whole = blocks(len(images))
    return [
        Unit(part, number, whole[number], one, last=at == len(each) - 1)
        for number in share.among(len(whole))
        for at, one in enumerate(each)
    ]


def _all_counted(unit: Unit, hand: Flags, images: Images) -> Flags:
    """The flags of a block that is done, with what was found nearer than it had to be; see `core.judging.within`."""
    if unit.one is None:
        return hand
    bare = {name.removeprefix(unit.under): held for name, held in hand.items()}
    return {unit.under + name: held for name, held in within(bare, images.labels[unit.block]).items()}


def _probe(spec: EvaluateSpec, judge: Judge, x: Tensor, y: Tensor, place: Place) -> Flags:
    """What is still right at any distance, and of each norm after a longer attack at the largest epsilon.

    Any distance is the half of the longest way within the box, in l2: room enough for any other image.
    """
    longer = {"longer": APGDAttack("ratio", PROBE_STEPS)}
    anywhere = Threat(norm="l2", epsilons=(0.5 * x[0].numel() ** 0.5,))
    threats = {"any": anywhere} | {t.norm: Threat(norm=t.norm, epsilons=(max(t.epsilons),)) for t in spec.threats}
    return {name: list(judge.attacked(x, y, threat, longer, place).values())[-1] for name, threat in threats.items()}


def _examples(kept: Flags, figures: Mapping[str, Any], scratch: Path) -> Iterator[Output]:
    """What every accuracy can be counted again from, and the program that does it."""
    claimed = {key: figures[key] for key in ("standard", "shifted", "noise", "corruptions", "robust")}
    path = scratch / "examples.safetensors"
    write_tensors(path, kept, {"format": "examples", "version": 1, "claimed": claimed})
    yield Output(path.name, path, "data", "application/octet-stream")
    program = scratch / "verify.py"
    program.write_bytes((Path(__file__).parent / "verify.py").read_bytes())
    yield Output(program.name, program, "data", "text/x-python")


def _in_order(flags: Flags, order: Tensor) -> Flags:
    """Those of the test images in the order of the dataset."""
    place = order.argsort()
    return {
        name: held if name.startswith(("again/", "reading/", "probe/")) else held[place] for name, held in flags.items()
    }


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
        "probe": _probed(spec, flags, attacks[-1]) if spec.threats else None,
        "corruptions": {
            name: {str(severity): _fraction(flags[f"corruptions/{name}/{severity}"]) for severity in spec.severities}
            for name in spec.corruptions
        },
        "noise": {f"{sigma:g}": _fraction(flags[f"noise/{sigma:g}"]) for sigma in spec.noise},
        "shifted": _fraction(flags["shifted"]),
        "confusion": _confusion(flags["label"], flags["read"]) if "read" in flags else None,
        "zero_gradients": int(flags["zero_gradient"].sum()),
        "readings": [
            _reading(ref.name, *(flags[f"reading/{at}/{flag}"] for flag in ("stored", "original", "changed")))
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


def _confusion(labels: Tensor, read: Tensor) -> list[list[int]]:
    """Images by true class, then by the class that the model read."""
    classes = int(torch.maximum(labels, read).max()) + 1
    return torch.bincount(labels * classes + read, minlength=classes**2).reshape(classes, classes).tolist()


def _probed(spec: EvaluateSpec, flags: Flags, attack: str) -> dict[str, Any]:
    """What the probe left: see `_probe`. `longer` counts what it broke of the images that all attacks had left."""
    index = flags["probe/index"]
    longer = {}
    for threat in spec.threats:
        epsilon = f"{max(threat.epsilons):g}"
        left = flags[f"robust/{threat.norm}/{epsilon}/{attack}"][index]
        broken = left & ~flags[f"probe/{threat.norm}"]
        longer[threat.norm] = {"epsilon": epsilon, "left": int(left.sum()), "broken": int(broken.sum())}
    return {"images": len(index), "any_distance": _fraction(flags["probe/any"]), "longer": longer}


def _reading(dataset: str, stored: Tensor, original: Tensor, changed: Tensor) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "images": len(stored),
        "stored": _fraction(stored),
        "stored_where_changed": _fraction(stored[changed]) if changed.any() else None,
        "original_where_changed": _fraction(original[changed]) if changed.any() else None,
        "images_where_changed": int(changed.sum()),
    }


def _fraction(flags: Tensor) -> float:
    return flags.double().mean().item()
