"""Nearest neighbours in pixel space, in l2.

Shape legend: m queries, n candidates; images [., C, H, W] in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.linalg import vector_norm

from core.images import Images, blocks

_SHORTLIST = 8
"""Candidates of each block whose distances are computed exactly: |a|^2 + |b|^2 - 2ab is not exact where it is small."""


@torch.no_grad()
def nearest(
    queries: Tensor,
    candidates: Images,
    count: int = 1,
    *,
    leave_out: Tensor | None = None,
    tick: Callable[[int], None] = lambda _: None,
) -> tuple[Tensor, Tensor]:
    """The `count` nearest candidates of each query, nearest first.

    Args:
        queries: [m, C, H, W] float32.
        leave_out: int64 [m], for each query a candidate that does not count (itself); None for none.
        tick: told the number of candidates done.

    Returns:
        Places among the candidates, int64 [m, count], and l2 distances, float32 [m, count]; fewer columns where there
        are fewer candidates.
    """
    flat = queries.flatten(1)
    places = torch.empty(len(flat), 0, dtype=torch.int64, device=flat.device)
    distances = torch.empty(len(flat), 0, device=flat.device)
    for block in blocks(len(candidates)):
        some = candidates.batch(block).flatten(1).to(flat.device)
        rough = some.square().sum(1) - 2 * flat @ some.T  # less |a|^2, which orders nothing
        if leave_out is not None:
            own = leave_out - block.start
            inside = (own >= 0) & (own < len(some))
            rough[inside.nonzero()[:, 0], own[inside]] = torch.inf
        short = rough.topk(min(_SHORTLIST, len(some)), largest=False)
        exact = vector_norm(some[short.indices] - flat[:, None], dim=2).masked_fill(short.values.isinf(), torch.inf)
        places = torch.cat([places, short.indices + block.start], dim=1)
        distances = torch.cat([distances, exact], dim=1)
        best = distances.topk(min(count, distances.shape[1]), largest=False)
        places, distances = places.gather(1, best.indices), best.values
        tick(block.stop)
    return places, distances
