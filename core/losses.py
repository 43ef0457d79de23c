"""What attacks climb: functions of logits [n, classes] and labels int64 [n], large where the label is missed."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(logits)[label], [n]. Its gradient vanishes where a model is very sure."""
    return functional.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor, rivals: Tensor | None = None) -> Tensor:
    """The logit of a rival class minus the label's, [n]: above 0 where the image is misclassified.

    The rival is the best other class, whichever that is, or the one given (int64 [n]). The direction of the gradient
    does not change with the scale of the logits (the loss f of Carlini and Wagner, 2017).
    """
    best = others(logits, labels).amax(1) if rivals is None else _chosen(logits, rivals)
    return best - _chosen(logits, labels)


def others(logits: Tensor, labels: Tensor) -> Tensor:
    """The logits with the label's own at minus infinity."""
    return logits.scatter(1, labels.unsqueeze(1), -math.inf)


def _chosen(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes.unsqueeze(1)).squeeze(1)
