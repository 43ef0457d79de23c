"""What has to be said of an evaluation before its figures are believed: one plain sentence each.

After Carlini et al. (2019), "On evaluating adversarial robustness", arXiv 1902.06705, and Athalye et al. (2018),
"Obfuscated gradients give a false sense of security", arXiv 1802.00420.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from core.statistics import wilson_interval

MASKED_FROM = 0.01
"""Share of the images that a search without gradients may break after the attacks that have them."""
FLAT_FROM = 0.01
"""Share of the images whose gradient may be 0."""
UNREACHED_FROM = 0.05
"""Share of the probed images that may be read right at any distance."""
UNCONVERGED_FROM = 0.03
"""Share of the probed images that a longer attack may break after all attacks."""
RESOLVED = 0.1
"""Points that a figure with one digit after the point claims to tell apart."""


def cautions(figures: Mapping[str, Any], black_box: Sequence[bool]) -> list[str]:
    """Every sentence that the figures of `core.evaluation` ask for.

    `black_box` says of each attack, in the order of `by_attack`, whether it searches without gradients.
    """
    return [
        *_flat(figures),
        *_masked(figures, black_box),
        *_unreached(figures),
        *_unconverged(figures),
        *_coarse(figures),
    ]


def _flat(figures: Mapping[str, Any]) -> Iterator[str]:
    zero, images = figures["zero_gradients"], figures["images"]
    if figures["robust"] and zero >= FLAT_FROM * images:
        yield (
            f"Zero gradients: the cross-entropy's gradient is exactly 0 on {zero} of {images} test images. An attack "
            "that climbs it stays where it is there; only attacks on margins, or without gradients, say anything."
        )


def _masked(figures: Mapping[str, Any], black_box: Sequence[bool]) -> Iterator[str]:
    """A search by scores alone is weaker than any that has gradients, where these are worth anything."""
    images = figures["images"]
    for norm, by_epsilon in figures["by_attack"].items():
        for epsilon, left in by_epsilon.items():
            broken = sum(
                round((before - after) * images)
                for (before, after), blind, earlier in zip(
                    pairwise(left.values()), black_box[1:], _any_before(black_box), strict=True
                )
                if blind and earlier
            )
            if broken >= max(2, MASKED_FROM * images):
                yield (
                    f"Masked gradients: within {norm} {epsilon} an attack without gradients broke {broken} of {images} "
                    "images that all attacks with gradients had left. The robust accuracy is that of a model which "
                    "hides its gradients, or of attacks that are too weak; the truth lies lower."
                )


def _any_before(black_box: Sequence[bool]) -> list[bool]:
    """Of each attack but the first: has one before it gradients?"""
    return [not all(black_box[: at + 1]) for at in range(len(black_box) - 1)]


def _unreached(figures: Mapping[str, Any]) -> Iterator[str]:
    probe = figures.get("probe")
    if probe and probe["any_distance"] > UNREACHED_FROM:
        left = f"{100 * probe['any_distance']:.0f} % of {probe['images']} images"
        yield (
            f"Masked gradients: larger epsilons do not help. Following the gradients, {left} are still read right at "
            "any distance, where an image may become any other: the gradients lead nowhere."
        )


def _unconverged(figures: Mapping[str, Any]) -> Iterator[str]:
    probe = figures.get("probe") or {"images": 0, "longer": {}}
    for norm, longer in probe["longer"].items():
        if longer["broken"] >= max(2, UNCONVERGED_FROM * probe["images"]):
            yield (
                f"Not converged: within {norm} {longer['epsilon']} a longer attack broke {longer['broken']} of "
                f"{longer['left']} probed images that all attacks had left. Robust accuracy is too high: take more "
                "steps and restarts, or the ensemble `strong`."
            )


def _coarse(figures: Mapping[str, Any]) -> Iterator[str]:
    images = figures["images"]
    if 100 / images > RESOLVED:
        low, high = wilson_interval(0.5, images)
        yield (
            f"Few images: one of {images} is {100 / images:.2f} points, and a 95 % interval reaches up to "
            f"{50 * (high - low):.1f} points to either side. The digit after the point says nothing."
        )
