"""When a device's memory runs out: the same work again, with half as many images at once.

What is redone gives the bits of a run that was planned with the smaller number; what was done before stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, TypeVar

import torch

from core.context import Context

Made = TypeVar("Made")

_SIGNS = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
"""Torch says so with an error of its own class on a GPU; its CPU allocator, cuBLAS and cuDNN with a RuntimeError."""


class AtOnce:
    """How many images go through a network at once: as many as planned, until memory runs out."""

    def __init__(self, planned: int, key: str = "at_once") -> None:
        """`key` is the number's name among the values of a checkpoint."""
        self.planned = self.images = planned
        self._key = key

    @property
    def reduced(self) -> bool:
        """Did memory run out?"""
        return self.images < self.planned

    def fitting(self, work: Callable[[int], Made], context: Context) -> Made:
        """What `work(images at once)` gives; it is called again, with half as many, each time that memory runs out.

        `work` must be fit to be broken off anywhere. The number stays reduced afterwards.

        Raises:
            Exception: what `work` raises, want of memory included where a single image is too much.
        """
        while True:
            try:
                return work(self.images)
            except (MemoryError, RuntimeError) as error:
                if not ran_out(error) or self.images == 1:
                    raise
            # Only here, past the error, are the tensors free that its traceback held.
            self.images //= 2
            if context.device.type == "cuda":
                torch.cuda.empty_cache()
            context.log(f"memory ran out: going on with {self.images} images at once")

    def figures(self) -> dict[str, int]:
        """For a result."""
        return {"planned": self.planned, "used": self.images}

    def cautions(self) -> list[str]:
        """What has to be said where memory ran out in a synthesis or an evaluation."""
        if not self.reduced:
            return []
        return [
            f"Memory ran out: {self.images} images went through the network at once instead of {self.planned}. "
            "Sums of other sizes are rounded otherwise, and random starts are drawn for fewer images at a time: last "
            "bits, and with them single images, may differ from those of an undisturbed run."
        ]

    def values(self) -> dict[str, int]:
        """For a checkpoint: nothing where nothing happened."""
        return {self._key: self.images} if self.reduced else {}

    def restore(self, values: Mapping[str, Any]) -> None:
        """As the values of a checkpoint say."""
        self.images = values.get(self._key, self.planned)


def ran_out(error: Exception) -> bool:
    """Is this a want of memory?"""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in str(error) for sign in _SIGNS)


def parts(whole: slice, at_once: int) -> list[slice]:
    """Consecutive parts of a slice, as few and as equal as can be, none of more than `at_once`."""
    n = whole.stop - whole.start
    count = max(1, -(-n // at_once))
    edges = [whole.start + n * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]
