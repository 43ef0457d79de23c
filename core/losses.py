"""What attacks climb: functions of logits [n, classes] and labels int64 [n], large where the label is missed."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

_TINY = 1e-12


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


def logits_ratio(logits: Tensor, labels: Tensor, rivals: Tensor | None = None) -> Tensor:
    """The margin divided by a difference of high logits, [n]: the DLR loss of Croce and Hein (2020), eq. 6 and 7.

    So neither the scale of the logits nor a shift of all of them changes its value. With the logits in falling order
    z1, z2, ...: the margin to the best other class by z1 - z3, that to a given rival by z1 - (z3 + z4) / 2.

    That takes 3 and 4 classes. With 3, a given rival's margin is divided by z1 - z3 too. With 2 there is no other
    logit to divide by, and no need: the only margin's gradient points where the cross-entropy's does, at any scale. So
    there it is the margin.
    """
    ahead = margin(logits, labels, rivals)
    classes = logits.shape[1]
    if classes < 3:
        return ahead
    first, _, third, *fourth = logits.topk(min(classes, 4), dim=1).values.unbind(1)
    low = (third + fourth[0]) / 2 if rivals is not None and fourth else third
    return ahead / (first - low + _TINY)


def divergence(logits: Tensor, other: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of softmax(other) from softmax(logits), [n]: what TRADES makes small."""
    log_p, log_q = functional.log_softmax(logits, 1), functional.log_softmax(other, 1)
    return (log_p.exp() * (log_p - log_q)).sum(1)


def others(logits: Tensor, labels: Tensor) -> Tensor:
    """The logits with the label's own at minus infinity."""
    return logits.scatter(1, labels.unsqueeze(1), -math.inf)


def _chosen(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes.unsqueeze(1)).squeeze(1)
