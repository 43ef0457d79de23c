"""Reads planted features back from constructed datasets, and tells which of them models follow; see `core.planted`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core.context import Context, Inputs, Result
from core.datasets.planted import PlantedOptions
from core.images import Images, blocks, open_dataset
from core.models import load_model
from core.planted import cue_conflict, read_pattern, read_shape
from core.registry import parse_options
from sieve.specs import DecodeSpec


def decode(spec: DecodeSpec, inputs: Inputs, context: Context) -> Result:
    """Decode datasets and models.

    Returns:
        `source`: how often shape and pattern predict the label of the dataset itself. `constructed`: the same of each
        dataset, and of what was added to its images (`added_shape`, `added_pattern`). `models`: how often each reads
        the class of the shape, and that of the pattern, where the two disagree.
    """
    source = open_dataset(spec.dataset, inputs, context.data_folder).train
    total = len(spec.constructed) + len(spec.models)
    made = []
    for at, ref in enumerate(spec.constructed):
        context.progress("decoding", at, total)
        images = open_dataset(ref, inputs, context.data_folder).train
        start = images.columns.get("start_index", images.columns["source_index"])
        added = images.batch(slice(None)) - source.batch(start)
        made.append(
            {
                **_predicts(images),
                "added_shape": _fraction(read_shape(added) == images.labels),
                "added_pattern": _fraction(read_pattern(added) == images.labels),
            }
        )
    options = parse_options(PlantedOptions, dict(spec.dataset.options))
    # Conflicts need a pattern to be seen: of the default strength where none is planted.
    if not options.pattern_amplitude:
        options = PlantedOptions.model_validate(options.model_dump() | {"pattern_amplitude": 0.02})
    x, shapes, patterns = cue_conflict(options, spec.images)
    followed: list[dict[str, Any]] = []
    for at, model in enumerate(spec.models, start=len(made)):
        context.progress("decoding", at, total)
        read = _read(inputs, model.name, x, context.device)
        followed.append({"shape": _fraction(read == shapes), "pattern": _fraction(read == patterns)})
    return Result({"images": spec.images, "source": _predicts(source), "constructed": made, "models": followed})


@torch.no_grad()
def _read(inputs: Inputs, name: str, x: Tensor, device: torch.device) -> Tensor:
    model = load_model(inputs.models[name]).to(device)
    return torch.cat([model(x[block].to(device)).argmax(1).cpu() for block in blocks(len(x))])


def _predicts(images: Images) -> dict[str, Any]:
    x = images.batch(slice(None))
    return {
        "n_images": len(x),
        "shape": _fraction(read_shape(x) == images.labels),
        "pattern": _fraction(read_pattern(x) == images.labels),
    }


def _fraction(flags: Tensor) -> float:
    return flags.double().mean().item()
