"""Auto-PGD: projected gradient ascent that chooses its own step lengths (Croce and Hein 2020, arXiv 2003.01690).

Steps begin as long as the ball is wide and are halved where they stopped to pay, each image for itself; the search then
goes on from the best point so far. Within l1 steps move few values, fewer and fewer, and the ball begins three times
as large as it is (Croce and Hein 2021, arXiv 2103.01208).

Images leave as soon as the view misreads them. What is left costs the same as before, so the order in which attacks
come changes what they cost together, and not what they find.

Shape legend: n images, m of them still searched; z, gradients [m, C, H, W], a per-image value [m].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from core import l1
from core.frozen import FrozenModel
from core.losses import cross_entropy, logits_ratio, margin
from core.rivals import ranked_rivals
from core.threat import Ball

Look = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Images and their numbers among the n to the values that are climbed, which images are misread, and the gradients."""

MOMENTUM = 0.75
"""Share of a step that is new; the rest goes on as the step before went."""
PAYS = 0.75
"""A step length is kept while it raises the value in more than this share of the steps."""
FIRST_CHECK, SHORTER_BY, SHORTEST_CHECK = 0.22, 0.03, 0.06
"""Stretches between two checks of the step length, as shares of all steps."""
LEAD = 10.0
"""Of the label's logit over all others, before the cross-entropy is taken."""
GROWN = ((3, 0.3), (2, 0.3), (1, 0.4))
"""In l1: how many times too large the ball is, for which share of the steps."""


@dataclass(frozen=True)
class APGDAttack:
    """Auto-PGD as an `Attack`.

    On the cross-entropy and the untargeted ratio, try 0 starts at the image, others uniformly in the ball. The targeted
    ratio always starts there, and aims at one class a try: the second best class of the image itself, the third best,
    and so on. There is no try once there is no other class.

    Where a model is too sure the cross-entropy has no gradient in fp32. So the logits of an image whose label leads by
    more than `LEAD` are divided by what makes it lead by that much: their scale does not matter then.
    """

    loss: Literal["cross_entropy", "ratio", "targeted_ratio"]
    steps: int
    restarts: int = 1

    @property
    def label(self) -> str:
        """See `core.attack.Attack`."""
        return f"apgd {self.loss}"

    def perturb(
        self, model: FrozenModel, labels: Tensor, ball: Ball, restart: int, generator: torch.Generator
    ) -> Tensor:
        """See `core.attack.Attack`."""
        targeted = self.loss == "targeted_ratio"
        if targeted and restart >= model.classes - 1:
            return ball.center
        start = ball.random_start(generator) if restart > 0 or targeted else ball.center
        rivals = ranked_rivals(model, labels, ball.center, restart) if targeted else None
        scale = _scale(model, labels, ball.center)

        def value(logits: Tensor, rows: Tensor) -> Tensor:
            if self.loss == "cross_entropy":
                return cross_entropy(logits / scale[rows].unsqueeze(1), labels[rows])
            return logits_ratio(logits, labels[rows], None if rivals is None else rivals[rows])

        def look(z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return looked(model, z, rows, labels, value)

        return apgd(look, ball, start, self.steps)


@torch.no_grad()
def _scale(model: FrozenModel, labels: Tensor, x: Tensor) -> Tensor:
    """What the logits of each image are divided by, [n]."""
    return (-margin(model.logits(x), labels) / LEAD).clamp_min(1)


def looked(
    model: FrozenModel, z: Tensor, rows: Tensor, labels: Tensor, value: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """What a `Look` gives, for a value of logits [m, classes] and the images' numbers."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        logits = model.logits(z)
        values = value(logits, rows)
        (gradient,) = torch.autograd.grad(values.sum(), z)
    return values.detach(), logits.detach().argmax(1) != labels[rows], gradient


def apgd(look: Look, ball: Ball, start: Tensor, steps: int) -> Tensor:
    """Climb from `start` until an image is misread.

    Returns:
        [n, C, H, W] in the ball: the misread image, else the one of the largest value.
    """
    if ball.norm.name != "l1":
        return _climb(look, ball, start, steps)
    for times, share in GROWN:
        grown = replace(ball, epsilon=times * ball.epsilon)
        start = _climb(look, grown, grown.project(start.clone()), math.ceil(share * steps), leave=times == 1)
    return start


@dataclass
class _Search:
    """Where the search of each image stands."""

    rows: Tensor
    """Its number among all, int64."""
    z: Tensor
    before: Tensor
    """The point before."""
    gradient: Tensor
    best: Tensor
    best_gradient: Tensor
    value: Tensor
    best_value: Tensor
    length: Tensor
    """Of its steps."""
    moved: Tensor
    """In l1: how many values a step moves."""
    raised: Tensor
    """Steps since the last check that raised the value."""
    checked_value: Tensor
    """The best value at the last check."""
    shortened: Tensor
    """Was the length changed at the last check?"""

    def keep(self, mask: Tensor) -> None:
        """Only those images go on."""
        for name, held in vars(self).items():
            setattr(self, name, held[mask])


def _climb(look: Look, ball: Ball, start: Tensor, steps: int, *, leave: bool = True) -> Tensor:
    n, device = len(start), start.device
    sparse = ball.norm.name == "l1"
    found = start.clone()
    value, misread, gradient = look(start, torch.arange(n, device=device))
    widest = (1 if sparse else 2) * ball.epsilon
    at = _Search(
        rows=torch.arange(n, device=device),
        z=start,
        before=start,
        gradient=gradient,
        best=start.clone(),
        best_gradient=gradient.clone(),
        value=value,
        best_value=value.clone(),
        length=torch.full((n,), widest, device=device),
        moved=torch.full((n,), 0.2 * start[0].numel(), device=device),
        raised=torch.zeros(n, dtype=torch.long, device=device),
        checked_value=value.clone(),
        shortened=torch.ones(n, dtype=torch.bool, device=device),
    )
    if leave and misread.any():
        at.keep(~misread)
    checks = _checks(steps, sparse=sparse)
    last_check = 0
    for step in range(1, steps + 1):
        if not len(at.rows):
            break
        inside = ball.among(at.rows)
        z = _moved(at, inside, first=step == 1, sparse=sparse)
        value, misread, gradient = look(z, at.rows)
        at.raised += value > at.value
        at.before, at.z, at.value, at.gradient = at.z, z, value, gradient
        better = value > at.best_value
        wide = better.reshape(-1, 1, 1, 1)
        at.best_value = torch.where(better, value, at.best_value)
        at.best, at.best_gradient = torch.where(wide, z, at.best), torch.where(wide, gradient, at.best_gradient)
        if leave and misread.any():
            found[at.rows[misread]] = z[misread]
            at.keep(~misread)
        if step in checks and len(at.rows):
            if sparse:
                _check_sparse(at, ball.among(at.rows), widest)
            else:
                _check(at, step - last_check)
            last_check = step
    found[at.rows] = at.best
    return found


def _moved(at: _Search, ball: Ball, *, first: bool, sparse: bool) -> Tensor:
    """One step of each image, inside the ball."""
    length = at.length.reshape(-1, 1, 1, 1)
    if sparse:
        return ball.project(at.z + length * l1.sparse_direction(at.gradient, at.moved))
    ahead = ball.project(at.z + length * ball.norm.direction(at.gradient.clone()))
    if first:
        return ahead
    return ball.project(at.z + MOMENTUM * (ahead - at.z) + (1 - MOMENTUM) * (at.z - at.before))


def _check(at: _Search, stretch: int) -> None:
    """Halve the steps of the images that they do not pay for any more, and send those back to their best point."""
    rarely = at.raised < PAYS * stretch
    stuck = ~at.shortened & (at.best_value <= at.checked_value)
    shorter = rarely | stuck
    at.length = torch.where(shorter, at.length / 2, at.length)
    _to_best(at, shorter)
    at.shortened, at.checked_value = shorter, at.best_value.clone()
    at.raised = torch.zeros_like(at.raised)


def _check_sparse(at: _Search, ball: Ball, widest: float) -> None:
    """In l1: move as many values as the best point needs, divided by 1.5; start anew where these became fewer."""
    needed = ((at.best - ball.center).abs() > 1e-6).flatten(1).sum(1) / 1.5
    fewer = needed < 0.95 * at.moved
    at.length = torch.where(fewer, widest, (at.length / 1.5).clamp_min(widest / 10))
    at.moved = needed.clamp_min(1)
    _to_best(at, fewer)


def _to_best(at: _Search, which: Tensor) -> None:
    wide = which.reshape(-1, 1, 1, 1)
    at.z, at.gradient = torch.where(wide, at.best, at.z), torch.where(wide, at.best_gradient, at.gradient)
    at.before, at.value = torch.where(wide, at.best, at.before), torch.where(which, at.best_value, at.value)


def _checks(steps: int, *, sparse: bool) -> set[int]:
    """After which steps the lengths are checked: equally often in l1, else more and more often (eq. 1 of the paper)."""
    if sparse:
        return set(range(0, steps + 1, max(1, round(0.1 * steps)))) - {0}
    shares = [0.0, FIRST_CHECK]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - SHORTER_BY, SHORTEST_CHECK))
    return {math.ceil(share * steps) for share in shares[1:]}
