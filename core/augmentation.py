"""Random flips and crops of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """Mirror each image left to right with probability 1/2; pad it by reflection and crop it back at a random place."""

    flip: bool
    crop_padding: int
    """In pixels, below the image's height and width; 0 for no crops."""

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """[n, C, H, W] to the same shape. `generator` is a CPU's, so that the draws are the same on every device."""
        if not self.flip and not self.crop_padding:
            return x
        n, channels, height, width = x.shape
        top, left = torch.randint(2 * self.crop_padding + 1, (2, n, 1), generator=generator)
        mirrored = (torch.rand(n, 1, generator=generator) < 0.5) & self.flip
        rows, columns = torch.arange(height), torch.arange(width)
        rows = (rows + top).to(x.device)  # [n, H]
        columns = (torch.where(mirrored, columns.flip(0), columns) + left).to(x.device)  # [n, W]
        if self.crop_padding:
            x = functional.pad(x, (self.crop_padding,) * 4, mode="reflect")
        # All crops and flips at once: x[i, c, rows[i, h], columns[i, w]].
        image = torch.arange(n, device=x.device)[:, None, None, None]
        channel = torch.arange(channels, device=x.device)[None, :, None, None]
        return x[image, channel, rows[:, None, :, None], columns[:, None, None, :]]
