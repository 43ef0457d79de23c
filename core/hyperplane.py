"""The nearest point of a hyperplane within the box [0, 1], in l1, l2 and linf: what FAB goes to.

Croce and Hein (2020), arXiv 1907.02044, eq. 3: min ||delta|| so that <slope, delta> = rise and 0 <= z + delta <= 1.

In each norm every value goes in its slope's direction, at most as far as the box is, and what is left to be found is
one number an image: how far all go that are not at the box's wall (l2: in proportion to their slopes; linf: equally;
l1: the steepest values alone, each to its wall). The rise grows with it along straight lines between the points where
a value reaches its wall, so it is found by sorting these.

Shape legend: n images of d values; tensors are [n, C, H, W], a per-image value [n].
"""

from __future__ import annotations

import torch
from torch import Tensor

from sieve.specs import Norm

_TINY = 1e-30


def to_hyperplane(z: Tensor, slope: Tensor, rise: Tensor, norm: Norm) -> Tensor:
    """The shortest delta for which <slope, delta> = rise, within the box; where the box holds none, as near as it can.

    A slope of 0 gives 0.
    """
    point, w = z.flatten(1), slope.flatten(1)
    # The scale of the slope does not matter, and 1e-30 squared is 0 in fp32.
    scale = w.abs().amax(1, keepdim=True).clamp_min(_TINY)
    w, wanted = w / scale, (rise.unsqueeze(1) / scale).double()
    way = w.sign() * wanted.sign().to(w.dtype)
    room = torch.where(way > 0, 1 - point, point)
    room = torch.where(way == 0, 0.0, room)
    steep, needed = w.abs(), wanted.abs()
    far = _steepest_first(steep, room, needed) if norm == "l1" else _together(steep, room, needed, norm)
    return (far * way).reshape(z.shape)


def _together(steep: Tensor, room: Tensor, needed: Tensor, norm: Norm) -> Tensor:
    """min(t pace, room) with one t an image; the pace of a value is its slope in l2 and 1 in linf."""
    pace = steep if norm == "l2" else (steep > 0).to(steep.dtype)
    walls, order = (room / pace.clamp_min(_TINY)).double().sort(1)
    gain = (steep * pace).double().gather(1, order)
    # Up to the k-th wall, values before it stand at theirs and all others move.
    at_wall = (steep * room).double().gather(1, order).cumsum(1)
    moving = gain.sum(1, keepdim=True) - gain.cumsum(1)
    reached = at_wall + walls * moving
    enough = (reached < needed).sum(1, keepdim=True)  # pieces that are not enough
    piece = enough.clamp_max(walls.shape[1] - 1)
    stood = torch.where(piece > 0, at_wall.gather(1, (piece - 1).clamp_min(0)), 0.0)
    moves = moving.gather(1, piece) + gain.gather(1, piece)
    t = torch.where(
        enough == walls.shape[1],
        torch.inf,
        (needed - stood) / moves.clamp_min(_TINY),
    )
    # Infinitely far times a pace of 0 is not a number: a value without a slope stays.
    went = torch.where(
        pace > 0, torch.minimum((t * pace.double()).nan_to_num(0.0, posinf=torch.inf), room.double()), 0.0
    )
    return went.to(steep.dtype)


def _steepest_first(steep: Tensor, room: Tensor, needed: Tensor) -> Tensor:
    """The steepest value to its wall, then the next, the last one as far as is needed."""
    order = steep.argsort(dim=1, descending=True, stable=True)
    gain = (steep * room).double().gather(1, order)
    before = gain.cumsum(1) - gain
    left = (needed - before).clamp_min(0)
    share = torch.where(gain > 0, (left / gain.clamp_min(_TINY)).clamp_max(1), 0.0)
    went = torch.empty_like(share).scatter_(1, order, share)
    return (went * room.double()).to(steep.dtype)
