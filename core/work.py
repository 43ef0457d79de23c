"""How much work a job is, counted from its spec: passes through a network, images held, files left. Torch-free.

A count knows nothing of any machine. `core.measuring` finds what a pass takes on one, `core.estimate` puts the two
together.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any, Literal

from core.cards import ARCHITECTURES, ATTACKS, Catalogue, DatasetCard, ModelCard
from core.ensembles import members
from core.registry import parse_options
from sieve.specs import (
    ArchitectureRef,
    ErrorsConstruction,
    EvaluateSpec,
    Precision,
    Spec,
    SynthesizeSpec,
    Trades,
    TrainSpec,
    UntransferableConstruction,
)

PassKind = Literal["train", "adversarial", "search", "exact_search", "read"]
"""`train`: one step of plain training. `adversarial`: one step on images attacked with one gradient. `search`: one
step of an attack or a construction, `exact_search` in fp32 whatever the precision. `read`: one judged batch."""

BLOCK = 256
"""Images a block in synthesis and evaluation, as `core.images.BLOCK`."""

REATTACKED = 512
"""Images that an evaluation whose attacks search in reduced precision attacks again, as `core.reattack.SAMPLE`."""

STILL_SEARCHED = {True: 0.6, False: 0.2}
"""Share of images that an evaluation's attacks still have to search on average, for a model that was trained on
attacked images and for another: a guess, which past jobs correct."""

_COLUMNS = 48
"""Bytes of labels and provenance beside each image of a constructed dataset."""


class Uncounted(Exception):
    """The work of a job cannot be told beforehand; the message says why."""


class Network(Spec):
    """What the passes of a job go through, and in which arithmetic it is searched with: what rates are measured of."""

    architecture: str
    options: dict[str, Any]
    """Every one, defaults too."""
    shape: tuple[int, int, int]
    classes: int
    precision: Precision

    @property
    def key(self) -> str:
        """The same for equal networks: sha256 (hex) of what is in it."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


class Passes(Spec):
    """Equal passes."""

    kind: PassKind
    images: int
    """In one pass."""
    times: float


class Work(Spec):
    """What a job does."""

    group: str
    """Jobs of one group err alike."""
    network: Network | None
    """None where the work is not with a network."""
    passes: tuple[Passes, ...] = ()
    seconds: float = 0.1
    """Beside the passes, on any machine: to start, read and write. A guess, which past jobs correct."""
    images_bytes: int = 0
    """Of images that lie in memory all the time."""
    files_bytes: int = 0
    """Of files that are kept, weights not counted."""
    models: int = 0
    """Models that are kept."""
    unsure: float = 2.0
    """Without past jobs of its group, it may well take so many times more or less."""


def of_training(spec: TrainSpec, catalogue: Catalogue) -> Work:
    """The work of a training."""
    dataset = catalogue.dataset(spec.dataset)
    images = _known(dataset.train_images)
    held_out = math.ceil(spec.validation_fraction * images)
    steps = spec.epochs * max(1, (images - held_out) // spec.batch_size)
    validation = [(size, spec.epochs * times) for size, times in _blocks(held_out)]
    passes = [Passes(kind="read", images=size, times=times) for size, times in validation]
    if spec.adversary is None:
        passes.append(Passes(kind="train", images=spec.batch_size, times=steps))
    else:
        trades = isinstance(spec.objective, Trades)
        more = spec.adversary.steps - 1
        watched = spec.adversary.steps + 10 if spec.adversary.steps < 2 else spec.adversary.steps
        passes += [
            Passes(kind="adversarial", images=spec.batch_size, times=steps),
            Passes(kind="search", images=spec.batch_size, times=more * steps),
            # TRADES sends the images through as they are as well.
            *([Passes(kind="train", images=spec.batch_size, times=steps)] if trades else []),
        ]
        for size, times in validation:
            passes.append(Passes(kind="read", images=size, times=times))
            passes.append(Passes(kind="search", images=size, times=watched * times))
    return Work(
        group="train" if spec.adversary is None else "train on attacked images",
        network=_network(spec.architecture, dataset.shape, len(dataset.classes), spec.precision),
        passes=tuple(passes),
        images_bytes=2 * images * _image_bytes(dataset),  # as they were read, and split for validation
        models=1,
    )


def of_synthesis(spec: SynthesizeSpec, catalogue: Catalogue) -> Work:
    """The work of a construction."""
    dataset, model = catalogue.dataset(spec.dataset), catalogue.model(spec.model)
    images = _known(images_of(spec, dataset))
    made = images * (4 * math.prod(dataset.shape) + _COLUMNS)
    how = spec.construction
    models = 1 + len(how.ensemble) if isinstance(how, UntransferableConstruction) else 1
    steps = 0 if isinstance(how, ErrorsConstruction) else how.steps
    return Work(
        group=f"synthesize {how.method}",
        network=_network_of(model, spec.precision),
        passes=tuple(
            Passes(kind=kind, images=size, times=models * times * blocks)
            for size, blocks in _blocks(images)
            for kind, times in (("search", steps), ("read", 3))
            if times
        ),
        images_bytes=images * _image_bytes(dataset) + 2 * made,  # block by block, and joined
        files_bytes=made,
    )


def images_of(spec: SynthesizeSpec, dataset: DatasetCard) -> int | None:
    """How many images of its dataset a construction uses; None where that is not known yet."""
    return dataset.train_images if spec.split == "train" else dataset.test_images


def of_evaluation(spec: EvaluateSpec, catalogue: Catalogue) -> Work:
    """The work of an evaluation: how many images its attacks break early, which makes it short, is a guess.

    Raises:
        Uncounted: an attack does not say how many gradients it takes.
    """
    dataset, model = catalogue.dataset(spec.dataset), catalogue.model(spec.model)
    images = _known(dataset.test_images)
    gradients = reads = 0
    for ref in members(spec.attacks):
        entry = ATTACKS.get(ref.name)
        if entry.gradients is None:
            raise Uncounted(f"the attack {ref.name} does not say how many gradients it takes")
        tries, each = entry.gradients(parse_options(entry.options, ref.options))
        gradients += tries * each
        reads += tries
    radii = sum(len(threat.epsilons) for threat in spec.threats)
    unattacked = len(spec.noise) + len(spec.corruptions) * len(spec.severities)
    share = STILL_SEARCHED[model.attacked]
    passes = []
    for size, times in _blocks(images):
        left = max(1, round(share * size))
        passes += [
            Passes(kind="read", images=size, times=times * (1 + len(spec.threats) + unattacked)),
            Passes(kind="search", images=size, times=times),  # are there gradients?
            Passes(kind="search", images=left, times=times * radii * gradients),
            Passes(kind="read", images=left, times=times * radii * reads),
        ]
    if spec.precision == "fast" and spec.threats:
        for size, times in _blocks(min(REATTACKED, images)):
            left = max(1, round(share * size))
            passes.append(Passes(kind="exact_search", images=left, times=times * radii * gradients))
            passes.append(Passes(kind="read", images=left, times=times * radii * reads))
    readings = [catalogue.dataset(ref) for ref in spec.readings]
    for reading in readings:
        passes += [
            Passes(kind="read", images=size, times=times) for size, times in _blocks(_known(reading.train_images))
        ]
    each_image = _image_bytes(dataset) + len(spec.threats) * 4 * math.prod(dataset.shape)  # as it was, and attacked
    held = sum(_known(reading.train_images) * _image_bytes(reading) for reading in readings)
    return Work(
        group="evaluate" + (" a model trained on attacked images" if model.attacked else ""),
        network=_network_of(model, spec.precision),
        passes=tuple(passes),
        images_bytes=(images + _known(dataset.train_images)) * _image_bytes(dataset) + held,
        unsure=3.0,
        files_bytes=images * (each_image + 4 + len(spec.noise) + radii * len(spec.attacks)),
    )


def _blocks(images: int) -> Iterator[tuple[int, int]]:
    """(images, times) of the blocks that so many images are worked on in."""
    whole, rest = divmod(images, BLOCK)
    if whole:
        yield BLOCK, whole
    if rest:
        yield rest, 1


def _known(images: int | None) -> int:
    if images is None:
        raise Uncounted("how many images the dataset has is known only once its files are read")
    return images


def _image_bytes(dataset: DatasetCard) -> int:
    """Constructed images are fp32, others (but for a few small sets) a byte a value."""
    return math.prod(dataset.shape) * (4 if dataset.test_images == 0 else 1)


def _network_of(model: ModelCard, precision: Precision) -> Network:
    if model.architecture is None:
        raise Uncounted("the model's architecture was not written down when it was trained")
    return _network(model.architecture, model.shape, model.classes, precision)


def _network(ref: ArchitectureRef, shape: tuple[int, int, int], classes: int, precision: Precision) -> Network:
    options = parse_options(ARCHITECTURES.get(ref.name).options, ref.options).model_dump(mode="json")
    return Network(architecture=ref.name, options=options, shape=shape, classes=classes, precision=precision)
