"""Square: a random search by scores alone, which no masked gradient can lead astray.

Andriushchenko, Croce, Flammarion and Hein (2020), arXiv 1912.00049. A query changes one square window of the
perturbation, in linf to full height in every channel, in l1 and l2 by moving mass from one window into another, and
keeps what raises the margin. Windows shrink as the search goes on.

It knows nothing of a model but its logits. Where it breaks what gradients could not break, these were useless.

Shape legend: n images searched; delta [n, C, H, W], per-image values [n]; windows are s x s pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

from core.frozen import FrozenModel
from core.losses import margin
from core.threat import Ball

FIRST_SHARE = 0.8
"""Of the pixels, in the first windows."""
HALVED_AT = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of the queries after which the share of the pixels is halved: the paper's, for 10,000 queries."""
GIVEN_UP_AFTER = 500
"""With `give_up`, queries after which a try may end."""


@dataclass(frozen=True)
class SquareAttack:
    """Square as an `Attack`; each try draws anew.

    `give_up`: a try ends where its first 500 queries broke none of the images. A model with masked gradients lets some
    break at once, and then all queries are made.
    """

    queries: int
    restarts: int = 1
    give_up: bool = False
    label: str = "square"

    @torch.no_grad()
    def perturb(
        self, model: FrozenModel, labels: Tensor, ball: Ball, restart: int, generator: torch.Generator
    ) -> Tensor:
        """See `core.attack.Attack`."""
        del restart  # the generator is its own
        x = ball.center
        found = _start(ball, generator)
        value = margin(model.logits(found), labels)
        rows = (value <= 0).nonzero().squeeze(1)
        best, value = found[rows], value[rows]
        for query in range(1, self.queries):
            if not len(rows):
                break
            inside = ball.among(rows)
            side = _side(query / self.queries, (x.shape[2], x.shape[3]), odd=ball.norm.name != "linf")
            z = _proposal(best, inside, side, generator)
            seen = margin(model.logits(z), labels[rows])
            better = seen > value
            best, value = torch.where(better.reshape(-1, 1, 1, 1), z, best), torch.where(better, seen, value)
            leaves = value > 0
            if self.give_up and len(rows) == len(x) and query == GIVEN_UP_AFTER and not leaves.any():
                break
            if leaves.any():
                found[rows[leaves]] = best[leaves]
                rows, best, value = rows[~leaves], best[~leaves], value[~leaves]
        found[rows] = best
        return found


def _side(progress: float, size: tuple[int, int], *, odd: bool) -> int:
    """Of the window once this share of the queries was made."""
    height, width = size
    share = FIRST_SHARE / 2 ** sum(progress > at for at in HALVED_AT)
    side = round(math.sqrt(share * height * width))
    if odd:
        return min(max(side, 3) | 1, (min(height, width) - 1) | 1)
    return max(1, min(side, height, width))


def _start(ball: Ball, generator: torch.Generator) -> Tensor:
    """linf: stripes of one pixel's width. l1 and l2: a grid of 5 x 5 windows, as far as the ball reaches."""
    x = ball.center
    n, channels, height, width = x.shape
    if ball.norm.name == "linf":
        return ball.project(x + ball.epsilon * _signs((n, channels, 1, width), x, generator))
    side = max(1, min(height, width) // 5)
    delta = torch.zeros_like(x)
    bump = _bump(side, x)
    for top in range((height - height // side * side) // 2, height - side + 1, side):
        for left in range((width - width // side * side) // 2, width - side + 1, side):
            turned = bump if torch.rand((), generator=generator, device=x.device) < 0.5 else bump.T
            delta[:, :, top : top + side, left : left + side] = turned * _signs((n, channels, 1, 1), x, generator)
    return _filled(delta, ball)


def _proposal(best: Tensor, ball: Ball, side: int, generator: torch.Generator) -> Tensor:
    """The best perturbation with one window of it made anew."""
    n, channels = best.shape[:2]
    delta = best - ball.center
    if ball.norm.name == "linf":
        new = ball.epsilon * _signs((n, channels, 1, 1), best, generator)
        inside = _mask(side, best, generator)
        return ball.project(torch.where(inside, ball.center + new, best))
    power = 2 if ball.norm.name == "l2" else 1
    flat = delta.flatten(2)
    into, out_of = (_window(side, best, generator) for _ in range(2))
    into, out_of = (at.unsqueeze(1).expand(-1, channels, -1) for at in (into, out_of))
    old = flat.gather(2, into)
    both = torch.zeros_like(flat).scatter_(2, out_of, 1.0).scatter_(2, into, 1.0)
    mass = flat.abs() ** power
    spare = (ball.epsilon**power - mass.sum((1, 2))).clamp_min(0).reshape(-1, 1, 1)
    bump = _bump(side, best)
    turned = bump if torch.rand((), generator=generator, device=best.device) < 0.5 else bump.T
    new = turned.reshape(1, 1, -1) * _signs((n, channels, 1), best, generator)
    new = new + old / _length(old, power).clamp_min(1e-12)
    wanted = (spare / channels + (mass * both).sum(2, keepdim=True)) ** (1 / power)
    new = new / _length(new, power).clamp_min(1e-12) * wanted
    flat = flat.scatter(2, out_of, 0.0).scatter(2, into, new)
    return _filled(flat.reshape(delta.shape), ball)


def _filled(delta: Tensor, ball: Ball) -> Tensor:
    """Added to the centre at the ball's surface."""
    length = ball.norm.length(delta).clamp_min(1e-12).reshape(-1, 1, 1, 1)
    return ball.project(ball.center + delta * (ball.epsilon / length))


def _length(window: Tensor, power: int) -> Tensor:
    lengths: Tensor = vector_norm(window, ord=power, dim=2, keepdim=True)
    return lengths


def _bump(side: int, like: Tensor) -> Tensor:
    """Two neighbouring hills of opposite sign, [s, s], of l2 length 1 (section 3.3 of the paper)."""
    upper = side // 2
    hills = torch.cat([_hill(upper, side), -_hill(side - upper, side)]) if upper else torch.ones(1, 1)
    return hills.div_(vector_norm(hills)).to(like)


def _hill(height: int, width: int) -> Tensor:
    """[height, width]: the sum over k of 1 / (n + 1 - k)^2, from the rim to where the pixel lies, n half the width."""
    n = width // 2
    rows = (torch.arange(height) - height // 2).abs()
    columns = (torch.arange(width) - n).abs()
    depth = (n - torch.maximum(rows.unsqueeze(1), columns.unsqueeze(0))).clamp_min(0)
    levels = torch.tensor([1 / (n + 1 - k) ** 2 for k in range(n + 1)]).cumsum(0)
    return levels[depth]


def _signs(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator, device=like.device).to(like.dtype) * 2 - 1


def _corners(n: int, side: int, like: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Top rows and left columns of one window an image, anywhere, int64 [n, 1] each."""
    height, width = like.shape[2:]
    tops = torch.randint(0, height - side + 1, (n, 1), generator=generator, device=like.device)
    return tops, torch.randint(0, width - side + 1, (n, 1), generator=generator, device=like.device)


def _window(side: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Flat indices of the pixels of one window an image, int64 [n, s * s]."""
    top, left = _corners(len(like), side, like, generator)
    steps = torch.arange(side, device=like.device)
    return ((top + steps).unsqueeze(2) * like.shape[3] + (left + steps).unsqueeze(1)).flatten(1)


def _mask(side: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """One window an image, bool [n, 1, H, W]."""
    top, left = _corners(len(like), side, like, generator)
    rows, columns = (torch.arange(size, device=like.device) for size in like.shape[2:])
    down, across = (rows >= top) & (rows < top + side), (columns >= left) & (columns < left + side)
    return (down.unsqueeze(2) & across.unsqueeze(1)).unsqueeze(1)
