"""What no machine could do: refused when it is asked for, not found out when it has run for a night. Torch-free.

The bounds are far beyond what the largest machines do in months. What lies below them is a matter of estimates
(`core.estimate`), limits (`store.limits`) and smaller batches (`core.memory`).
"""

from __future__ import annotations

import math

from core.errors import SpecRefused
from core.work import Work

MOST_PIXELS = 1e17
"""Pixels that all passes of a job read. Each is read by at least some ten channels, so on a card that moves 5 TB a
second this takes more than ten days if nothing is computed at all."""
MOST_BYTES = 1 << 40
"""Of the images of one batch, or of all that must lie in memory: more than any machine of a lab has."""


def refuse_absurd(work: Work) -> None:
    """See that a job's work can be done at all.

    Raises:
        SpecRefused: it cannot.
    """
    pixels = math.prod(work.network.shape) if work.network is not None else 1
    read = sum(one.images * one.times for one in work.passes) * pixels
    if not read <= MOST_PIXELS:
        raise SpecRefused(
            "", f"it would read {read:.1e} pixels, and {MOST_PIXELS:.0e} is more than can be done in months"
        )
    largest = max((one.images for one in work.passes), default=0) * pixels * 4
    if largest > MOST_BYTES:
        raise SpecRefused("", f"the images of one batch take {largest / 1e12:.1f} TB: no machine has so much memory")
    if work.images_bytes > MOST_BYTES:
        raise SpecRefused("", f"its images take {work.images_bytes / 1e12:.1f} TB of memory: no machine has so much")
