"""How a GPU computes convolutions: what fp32 means there, and whether algorithms are tried out.

By torch's own default, convolutions of fp32 tensors are computed in TF32 there: mantissas of 10 bits instead of 23.
That is none of the fp32 that judges, and that `precision: exact` promises. On a CPU nothing of this exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sieve.specs import Precision


@contextmanager
def convolutions(precision: Precision) -> Iterator[None]:
    """Inside, convolutions of fp32 tensors are computed in fp32 (`exact`), or may be in TF32 (`fast`)."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = precision == "fast"
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@contextmanager
def algorithms(*, tried_out: bool) -> Iterator[None]:
    """Inside, cuDNN tries out its algorithms on each new shape of batch, or takes what it thinks best.

    Trying takes seconds for a network: too long for batches that images leave one by one.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = tried_out
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
