"""What attacks climb: functions of logits [n, classes] and labels int64 [n], large where the label is missed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]
LossName = Literal["cross_entropy", "margin"]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(logits)[label], [n]. Its gradient vanishes where a model is very sure."""
    return functional.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The best other logit minus the label's, [n]: above 0 where the image is misclassified.

    Its gradient's direction does not change with the scale of the logits (the loss f of Carlini and Wagner, 2017).
    """
    own = labels.unsqueeze(1)
    return logits.scatter(1, own, -math.inf).amax(1) - logits.gather(1, own).squeeze(1)


LOSSES: Mapping[LossName, Loss] = {"cross_entropy": cross_entropy, "margin": margin}
