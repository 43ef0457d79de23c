"""What 8 bits a channel do to a constructed dataset: to its perturbations, and to what its source model reads.

Shape legend: images are [n, C, H, W] in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm

from core.context import Inputs
from core.distributions import spread
from core.images import Images, Splits, blocks
from core.models import Classifier, load_model
from sieve.specs import SynthesizeSpec


def eight_bits(images: Tensor) -> Tensor:
    """The nearest multiples of 1/255, halves to even: float32 like `images`."""
    return images.mul(255).round_().div_(255)


def distance_of_rounding(dataset: Splits, tick: Callable[[int], None]) -> dict[str, Any]:
    """How far it moves the images of both splits: `largest` of any pixel, `l2` of an image.

    Args:
        tick: told the number of images done.
    """
    largest, moved, done = 0.0, [], 0
    for images in (dataset.train, dataset.test):
        for block in blocks(len(images)):
            exact = images.batch(block)
            change = eight_bits(exact).sub_(exact)
            largest = max(largest, change.abs().max().item())
            moved.append(vector_norm(change.flatten(1), dim=1))
            done += len(exact)
            tick(done)
    return {"largest": largest, "l2": spread(torch.cat(moved))}


@torch.no_grad()
def effect_of_rounding(
    spec: SynthesizeSpec, inputs: Inputs, origin: Splits, constructed: Images, tick: Callable[[int], None]
) -> dict[str, Any]:
    """Measure it, by the plain fp32 source model.

    Args:
        spec: how `constructed` was made from `origin`.
        tick: told the number of images done.

    Returns:
        `largest`: of any pixel; `l2`: of the rounding of an image; `norm`: of the perturbations, from where each
        started, before and after; `source_reads_label`: fractions of the images, before and after.
    """
    model = load_model(inputs.models[spec.model.name]).eval()
    base = origin.train if spec.split == "train" else origin.test
    parts = []
    for block in blocks(len(constructed)):
        parts.append(_block(spec, model, base, constructed.select(block)))
        tick(block.stop)
    largest, moved, before, after, reads, still_reads = (torch.cat(column) for column in zip(*parts, strict=True))
    return {
        "largest": largest.max().item(),
        "l2": spread(moved),
        "norm": {"exact": spread(before), "rounded": spread(after)},
        "source_reads_label": {"exact": reads.double().mean().item(), "rounded": still_reads.double().mean().item()},
    }


def _block(spec: SynthesizeSpec, model: Classifier, origin: Images, made: Images) -> tuple[Tensor, ...]:
    # What began as noise is measured from the image that it stands for.
    start = origin.batch(made.columns.get("start_index", made.columns["source_index"]))
    exact, rounded = made.pixels[:], eight_bits(made.pixels[:])

    def length(delta: Tensor) -> Tensor:
        order = 2 if getattr(spec.construction, "norm", "l2") == "l2" else torch.inf
        norms: Tensor = vector_norm(delta.flatten(1), ord=order, dim=1)
        return norms

    return (
        (rounded - exact).abs().amax((1, 2, 3)),
        vector_norm((rounded - exact).flatten(1), dim=1),
        length(exact - start),
        length(rounded - start),
        model(exact).argmax(1) == made.labels,
        model(rounded).argmax(1) == made.labels,
    )
