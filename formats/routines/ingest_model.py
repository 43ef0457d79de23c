"""The routine of an ingest of weights. What is not trusted is read in a process of its own, see `formats.weights`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file

from core.cards import ARCHITECTURES, ModelCard, Shape
from core.context import Context, Inputs, Output, Result
from core.errors import CoreError, UploadRefused
from core.images import Images, blocks, open_dataset
from core.models import Classifier, new_classifier, save_model
from core.registry import parse_options
from core.statistics import wilson_interval
from formats.routines.apart import apart
from formats.weights import MEAN, STD, Task, command
from sieve.specs import ArchitectureRef, DatasetRef, IngestModelSpec

_HEADS = ("fc", "linear", "classifier")
_JUDGED = 1000
"""So many test images at most show whether the network does what it is said to."""


@dataclass(frozen=True)
class _Asked:
    """What the weights must be those of."""

    architecture: ArchitectureRef
    shape: Shape
    classes: int


def ingest_model(spec: IngestModelSpec, inputs: Inputs, context: Context) -> Result:
    """Leave `model.safetensors`. With a dataset named, also read some of its test images.

    Raises:
        UploadRefused: the file does not hold the weights of such a network, or nothing says how it normalises.
    """
    began = time.monotonic()
    path = str(inputs.files[spec.upload.name])
    context.progress("reading", 0, 3)
    told = apart(command(Task(path, "")), context)
    dataset = None
    if spec.dataset is not None:
        limit = DatasetRef(name=spec.dataset.name, options=spec.dataset.options, limit_test=_JUDGED)
        dataset = open_dataset(limit, inputs, context.data_folder)
    shape = None if dataset is None else tuple(dataset.train.pixels.shape[1:])
    asked = _asked(spec, told, shape, None if dataset is None else len(dataset.classes))
    model = _blank(asked)
    wanted = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    entry = ARCHITECTURES.get(asked.architecture.name)
    other = other_names(wanted) | ({} if entry.aliases is None else entry.aliases(wanted))
    task = Task(path, str(context.scratch / "weights.safetensors"), wanted, other, memory=_memory(model))
    context.progress("checking", 1, 3)
    found = apart(command(task), context)
    tensors = load_file(task.target)
    mean, std = _normalisation(spec, told, tensors, asked.shape[0])
    model.load_state_dict({**tensors, MEAN: mean.reshape(1, -1, 1, 1), STD: std.reshape(1, -1, 1, 1)}, strict=False)
    model.eval()
    _see_that_it_computes(model, asked.shape)
    context.progress("reading test images", 2, 3)
    target = context.scratch / "model.safetensors"
    save_model(target, model, asked.architecture, asked.shape, asked.classes)
    return Result(
        figures={
            **{name: found[name] for name in ("tensors", "types")},
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "mean": mean.tolist(),
            "std": std.tolist(),
            "standard": None if dataset is None else _judged(model, dataset.test),
            "seconds": time.monotonic() - began,
        },
        outputs=(Output(target.name, target, "model", "application/octet-stream"),),
        made=ModelCard(asked.shape, asked.classes, asked.architecture),
    )


def other_names(names: Iterable[str]) -> dict[str, str]:
    """Names that tensors of any network may have: those of the body without `body.`, and usual ones of the head."""
    bodies = {name.removeprefix("body."): name for name in names if name.startswith("body.")}
    heads = {f"{head}.{what}": f"head.{what}" for head in _HEADS for what in ("weight", "bias")}
    return bodies | heads


def _asked(spec: IngestModelSpec, told: dict[str, Any], shape: Any, classes: int | None) -> _Asked:
    """What the spec says, or else the file itself."""
    if spec.architecture is not None:
        given_shape, given_classes = shape or spec.shape, classes or spec.classes
        assert given_shape is not None
        assert given_classes is not None
        return _Asked(spec.architecture, given_shape, given_classes)
    if "architecture" not in told:
        raise UploadRefused("nothing says whose weights these are: name an architecture")
    try:
        channels, height, width = told["shape"]
        asked = _Asked(
            ArchitectureRef(name=told["architecture"], options=told["options"]),
            (int(channels), int(height), int(width)),
            int(told["classes"]),
        )
    except (KeyError, TypeError, ValueError):
        raise UploadRefused("its header does not say what the network is: name an architecture") from None
    if shape is not None and (asked.shape, asked.classes) != (shape, classes):
        one = f"{asked.shape} images in {asked.classes} classes"
        raise UploadRefused(f"by its header it classifies {one}, the dataset has {shape} in {classes}")
    return asked


def _blank(asked: _Asked) -> Classifier:
    """The network with weights of no meaning."""
    try:
        entry = ARCHITECTURES.get(asked.architecture.name)
        entry.check(parse_options(entry.options, asked.architecture.options), asked.shape)
        zeros, ones = torch.zeros(asked.shape[0]), torch.ones(asked.shape[0])
        return new_classifier(asked.architecture, asked.shape, asked.classes, mean=zeros, std=ones, seed=0)
    except CoreError as error:
        raise UploadRefused(f"there can be no such network: {error}") from None


def _normalisation(
    spec: IngestModelSpec, told: dict[str, Any], tensors: dict[str, torch.Tensor], channels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation, fp32 [C] each: as the spec says, else the file's tensors, else its metadata."""
    if spec.mean is not None and spec.std is not None:
        found = torch.tensor(spec.mean), torch.tensor(spec.std)
    elif MEAN in tensors and STD in tensors:
        found = tensors[MEAN].flatten(), tensors[STD].flatten()
    elif "mean" in told and "std" in told:
        found = torch.tensor(told["mean"], dtype=torch.float32), torch.tensor(told["std"], dtype=torch.float32)
    else:
        raise UploadRefused(
            "nothing says how the network normalises images: give mean and std (0 and 1 for not at all)"
        )
    for name, values in zip(("mean", "std"), found, strict=True):
        if len(values) != channels or not values.isfinite().all():
            raise UploadRefused(f"{name} has {len(values)} values; {channels} finite ones are needed, one a channel")
    if not (found[1] > 0).all():
        raise UploadRefused("std must be above 0")
    return found


@torch.no_grad()
def _see_that_it_computes(model: Classifier, shape: Shape) -> None:
    if not model(torch.full((2, *shape), 0.5)).isfinite().all():
        raise UploadRefused("its logits of a grey image are not finite")


@torch.no_grad()
def _judged(model: Classifier, images: Images) -> dict[str, Any] | None:
    """Standard accuracy as a fraction, with its 95 % interval; None without test images."""
    if not len(images):
        return None
    right = sum(int((model(images.batch(b)).argmax(1) == images.labels[b]).sum()) for b in blocks(len(images)))
    share = right / len(images)
    return {"images": len(images), "accuracy": share, "interval": list(wilson_interval(share, len(images)))}


def _memory(model: Classifier) -> int:
    """Bytes that the process which reads the file may fill: its weights three times, and room."""
    weights: int = sum(tensor.numel() for tensor in model.state_dict().values())
    return 12 * weights + (384 << 20)
