"""Was a fast attack as strong as an exact one? A sample of the images is attacked again with gradients in fp32.

Both attacks draw the same random starts and are judged by the plain fp32 model, image by image, so only images on which
they differ count: where d of n images differ, the standard error of the difference between the two accuracies is about
sqrt(d) / n. On digits 1 image in 1,200 differed (1 in 500 when exact attacks drew other starts), so that 512 images
resolve 0.13 points. One image of 512 is 0.2 points: one alone gives no alarm, two more one way than the other do.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core.images import BLOCK
from core.seeding import generator

SAMPLE = 2 * BLOCK
"""Images attacked again; all where there are fewer. Of 10,000 images that is a twentieth of an exact evaluation."""

WEAKER = 0.003
"""A fast attack that leaves more than this fraction of the sample too much is spoken of."""


def sample_first(n: int, seed: int) -> Tensor:
    """An order of `n` images, int64 [n], that begins with the sample: so it fills blocks of its own in both attacks."""
    drawn = torch.randperm(n, generator=generator(seed, "reattack"))
    return torch.cat([drawn[:SAMPLE].sort().values, drawn[SAMPLE:].sort().values])


def compared(fast: Tensor, exact: Tensor) -> dict[str, Any]:
    """What the two attacks left of the sample, from one flag an image, bool [n] each: is it still right?

    Returns:
        `images`, the accuracies `fast` and `exact`, `weaker_by` = fast - exact with its `standard_error`, and how many
        images each broke alone.
    """
    difference = fast.double() - exact.double()
    error = difference.std(correction=0).item() / len(difference) ** 0.5
    return {
        "images": len(fast),
        "fast": fast.double().mean().item(),
        "exact": exact.double().mean().item(),
        "weaker_by": difference.mean().item(),
        "standard_error": error,
        "broken_by_exact_alone": int((fast & ~exact).sum()),
        "broken_by_fast_alone": int((exact & ~fast).sum()),
    }


def caution(norm: str, epsilon: str, found: dict[str, Any]) -> str | None:
    """What has to be said of a fast attack that was too weak; None of one that was not."""
    if found["weaker_by"] <= WEAKER:
        return None
    return (
        f"Within {norm} {epsilon} the fast attack was weaker than exact by {100 * found['weaker_by']:.1f} points "
        f"on {found['images']} images attacked by both (standard error {100 * found['standard_error']:.1f}): robust "
        "accuracy is too high by about as much. `precision: exact` attacks all images in fp32."
    )
