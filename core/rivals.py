"""The other classes of an image, from the most to the least likely: what targeted attacks aim at, one after another."""

from __future__ import annotations

import torch
from torch import Tensor

from core.frozen import FrozenModel
from core.losses import others


@torch.no_grad()
def ranked_rivals(model: FrozenModel, labels: Tensor, x: Tensor, rank: int) -> Tensor:
    """The class of each image x [n, C, H, W], its label left out, that comes at this rank: int64 [n].

    0 is the best, and past the worst too: ranks go round.
    """
    logits = model.logits(x)
    return others(logits, labels).argsort(dim=1, descending=True, stable=True)[:, rank % (logits.shape[1] - 1)]
