"""What evaluations attack with. Entries of the registry `core.attacks` build one of these."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from core.frozen import FrozenModel
from core.threat import Ball


class Attack(Protocol):
    """A search for misclassified images in a ball. It may fail: whether it did is judged elsewhere."""

    @property
    def label(self) -> str:
        """What reports call it, such as `pgd margin`."""

    @property
    def restarts(self) -> int:
        """How many times to try; the worst try of each image counts."""

    def perturb(
        self, model: FrozenModel, labels: Tensor, ball: Ball, restart: int, generator: torch.Generator
    ) -> Tensor:
        """One try for each image.

        Args:
            model: what to search with.
            labels: the true labels, int64 [n].
            ball: around the images [n, C, H, W]; what it gives lies inside.
            restart: number of the try. Try 0 is the most promising one; the others vary by their draws.
            generator: for every draw, on the images' device.

        Returns:
            [n, C, H, W].
        """
