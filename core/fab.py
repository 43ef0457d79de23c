"""FAB: the nearest misread image, found along the boundary (Croce and Hein 2020, arXiv 1907.02044).

Each step takes the boundary to another class for flat and goes a little past it, drawn towards the original image;
where it comes to a misread image it goes back some way to the original. It wants no step length, and, as it goes by
where the margin's gradient points and not by the margin's size, no scale of the logits.

The targeted form of AutoAttack: one other class a try, so that a step takes one gradient whatever the number of
classes. Here an image leaves once it is misread within the ball: how much nearer one could come is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.apgd import looked
from core.frozen import FrozenModel
from core.hyperplane import to_hyperplane
from core.losses import margin
from core.rivals import ranked_rivals
from core.threat import Ball

PAST = 1.05
"""How far it goes, as a multiple of the way to the boundary."""
BACK = 0.9
"""How much of the way from the original is left of a misread image."""
DRAWN = 0.1
"""The original's weight in a step is at most this."""


@dataclass(frozen=True)
class FABAttack:
    """FAB as an `Attack`: each try aims at one class, in the order of the image's own logits; it draws nothing.

    There is no try once there is no other class.
    """

    steps: int
    restarts: int = 1
    label: str = "fab"

    def perturb(
        self, model: FrozenModel, labels: Tensor, ball: Ball, restart: int, generator: torch.Generator
    ) -> Tensor:
        """See `core.attack.Attack`."""
        del generator
        x, n = ball.center, len(labels)
        if restart >= model.classes - 1:
            return x
        rivals = ranked_rivals(model, labels, x, restart)
        rows = torch.arange(n, device=x.device)
        z = x
        found = x.clone()
        nearest = torch.full((n,), torch.inf, device=x.device)

        def ahead(logits: Tensor, rows: Tensor) -> Tensor:
            return margin(logits, labels[rows], rivals[rows])

        for step in range(self.steps + 1):
            value, misread, slope = looked(model, z, rows, labels, ahead)
            distance = ball.norm.length(z - x[rows])
            nearer = misread & (distance < nearest[rows])
            found[rows[nearer]], nearest[rows[nearer]] = z[nearer], distance[nearer]
            outside = ~(misread & (distance <= ball.epsilon))
            if not outside.any() or step == self.steps:
                break
            if not outside.all():
                rows, z, value, misread, slope = (held[outside] for held in (rows, z, value, misread, slope))
            back = x[rows] + BACK * (z - x[rows])
            z = torch.where(misread.reshape(-1, 1, 1, 1), back, _step(z, value, slope, ball.among(rows)))
        # Just outside of the ball, the same direction may do within it.
        return ball.project(x + (found - x) * (ball.epsilon / nearest.clamp_min(ball.epsilon)).reshape(-1, 1, 1, 1))


def _step(z: Tensor, value: Tensor, slope: Tensor, ball: Ball) -> Tensor:
    """Past the boundary, between the points that are nearest to z and to the original."""
    x, norm = ball.center, ball.norm
    there = to_hyperplane(z, slope, -value, norm.name)
    offset = value + ((x - z) * slope).flatten(1).sum(1)
    from_x = to_hyperplane(x, slope, -offset, norm.name)
    near, far = norm.length(there), norm.length(from_x)
    weight = (near / (near + far).clamp_min(1e-12)).clamp_max(DRAWN).reshape(-1, 1, 1, 1)
    return ((1 - weight) * (z + PAST * there) + weight * (x + PAST * from_x)).clamp(0, 1)
