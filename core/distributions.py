"""A per-image measure summed up for a result's figures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BINS = 40


def spread(values: Tensor) -> dict[str, float]:
    """Mean and percentiles 5, 50 and 95 of `values` [n]."""
    p5, p50, p95 = torch.quantile(values.double(), torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)).tolist()
    return {"mean": values.double().mean().item(), "p5": p5, "p50": p50, "p95": p95}


def histogram(values: Tensor) -> dict[str, list[Any]]:
    """How many of `values` [n], all at least 0, lie in each of `BINS` equal bins up to the largest of them."""
    counts, edges = torch.histogram(values.double(), BINS, range=(0.0, values.max().item() or 1.0))
    return {"edges": edges.tolist(), "counts": counts.int().tolist()}
