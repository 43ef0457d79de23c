"""The constructions of Ilyas et al. (2019), arXiv 1905.02175, on a block of images.

Robust (D_R, D_NR): another training image is moved until its penultimate features match those of the image that it is
to stand for. Targeted (D_rand, D_det): an image is moved towards another class inside a small ball and labelled as
that class, also where the attack failed. Two more from the discussion of that paper (Distill 2019): targeted
perturbations that leave an ensemble of other models right, and the images that a model misreads, as they are.

Shape legend: b images of a block are [b, C, H, W] in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.linalg import vector_norm

from core import matching
from core.frozen import FrozenModel
from core.images import Images
from core.losses import cross_entropy
from core.models import Classifier
from core.pgd import pgd
from core.threat import NORMS, Ball
from sieve.specs import (
    DeterministicTargetConstruction,
    RandomTargetConstruction,
    RobustConstruction,
    UntransferableConstruction,
)

Made = dict[str, Tensor]
"""`images` fp32 [b, C, H, W], `labels` int64 [b], and every column of provenance, each [b]."""

Targeted = RandomTargetConstruction | DeterministicTargetConstruction | UntransferableConstruction


@dataclass(frozen=True)
class Source:
    """The source model."""

    model: Classifier
    """Judges what was found, in plain fp32. In evaluation mode."""
    view: FrozenModel
    """Searches."""
    ensemble: tuple[tuple[Classifier, FrozenModel], ...] = ()
    """Models that a perturbation is to leave right; each judges and searches likewise."""
    further: tuple[FrozenModel, ...] = ()
    """Views of further sources."""

    @property
    def views(self) -> tuple[FrozenModel, ...]:
        """Of all sources."""
        return (self.view, *self.further)


def robust(how: RobustConstruction, source: Source, images: Images, index: Tensor, draws: torch.Generator) -> Made:
    """For each x = images[index]: from x', min ||g(z) - g(x)||_2 over z in [0, 1]; no ball.

    x' is drawn uniformly from all images but x, or is uniform noise in [0, 1]; the label stays that of x.
    """
    x, labels = images.batch(index), images.labels[index]
    started: Made = {}
    if how.start == "noise":
        start = torch.rand(x.shape, generator=draws).to(x.device)
    else:
        away = torch.randint(1, len(images), (len(index),), generator=draws).to(index.device)
        started["start_index"] = (index + away) % len(images)
        start = images.batch(started["start_index"])
    features = _features(source, x)
    with torch.no_grad():
        goal = features(x)

    if how.recipe == "fast":
        z = matching.fast(features, goal, start, how.steps // len(source.views))
    else:
        z = matching.by_steps(features, goal, start, step_lengths(how, how.steps // len(source.views)))
    with torch.no_grad():
        found, wanted = source.model.features(z), source.model.features(x)
        read = source.model.head(found).argmax(1)
    l2 = NORMS["l2"]
    return {
        "images": z,
        "labels": labels,
        "source_index": index,
        "original_label": labels,
        **started,
        "feature_distance": vector_norm(found - wanted, dim=1) / vector_norm(wanted, dim=1),
        "norm": l2.length(z - start),
        "nearer_to_start": (l2.length(z - start) < l2.length(z - x)).byte(),
        "source_reads_label": (read == labels).byte(),
    }


def _features(source: Source, x: Tensor) -> matching.Features:
    """What is matched: the source's features; of several sources all of theirs, each as long as the others' on x."""
    if not source.further:
        return source.view.features
    with torch.no_grad():
        lengths = [vector_norm(view.features(x), dim=1).mean().clamp_min(1e-12) for view in source.views]

    def together(z: Tensor) -> Tensor:
        return torch.cat([view.features(z) / length for view, length in zip(source.views, lengths, strict=True)], dim=1)

    return together


def step_lengths(how: RobustConstruction, steps: int) -> list[float]:
    """Constant, or falling linearly from `step_size` towards 0."""
    if how.schedule == "constant":
        return [how.step_size] * steps
    return [how.step_size * (1 - step / steps) for step in range(steps)]


def targeted(how: Targeted, source: Source, images: Images, index: Tensor, targets: Tensor) -> Made:
    """For each x = images[index]: min cross-entropy(z, target) by PGD in the ball around x, started at x.

    Where the source has an ensemble, its mean cross-entropy to the true label is added. The label is the target, also
    where the attack failed. `norm` is measured in the construction's own norm; `ensemble_right` is the share of the
    ensemble that reads the true label.
    """
    x, labels = images.batch(index), images.labels[index]
    norm = NORMS[how.norm]
    views = source.views

    def towards(view: FrozenModel, z: Tensor) -> Tensor:
        value = -cross_entropy(view.logits(z), targets)
        for _, spared in source.ensemble:
            value = value - cross_entropy(spared.logits(z), labels) / len(source.ensemble)
        return value

    ball = Ball(norm, x, how.epsilon)
    lengths = [how.relative_step * how.epsilon] * how.steps
    if not source.further:
        z = pgd(partial(towards, source.view), ball, x, lengths)
    else:
        z = x
        for step, length in enumerate(lengths):  # the sources take turns, a gradient each
            z = pgd(partial(towards, views[step % len(views)]), ball, z, [length])
    with torch.no_grad():
        read = source.model(z).argmax(1)
        right = [(model(z).argmax(1) == labels).float() for model, _ in source.ensemble]
    ensemble = {"ensemble_right": torch.stack(right).mean(0)} if right else {}
    return ensemble | {
        "images": z,
        "labels": targets,
        "source_index": index,
        "original_label": labels,
        "target": targets,
        "success": (read == targets).byte(),
        "norm": norm.length(z - x),
    }


def targets(how: Targeted, labels: Tensor, classes: int, draws: torch.Generator) -> Tensor:
    """D_rand: uniform over all classes, the true one included. D_det: (y + 1) mod C. Like `labels`, int64 [b]."""
    if isinstance(how, DeterministicTargetConstruction) or (
        isinstance(how, UntransferableConstruction) and how.target == "next"
    ):
        return (labels + 1) % classes
    return torch.randint(classes, labels.shape, generator=draws).to(labels.device)


def errors(source: Source, images: Images, index: Tensor) -> Made:
    """Those of images[index] that the source misreads, as they are, labelled as it reads them. May be none."""
    x = images.batch(index)
    with torch.no_grad():
        read = source.model(x).argmax(1)
    wrong = (read != images.labels[index]).nonzero().squeeze(1)
    return {
        "images": x[wrong],
        "labels": read[wrong],
        "source_index": index[wrong],
        "original_label": images.labels[index][wrong],
    }
