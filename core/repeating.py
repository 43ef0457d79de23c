"""The same step many times over, without leaving the device.

Most steps are over sooner on a GPU than the CPU can ask for their kernels. So a long run of equal steps is asked for
once, recorded as a CUDA graph, and replayed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

RECORDED_FROM = 20
"""Steps that are worth the recording: it takes about as long as two or three of them, and once more their memory."""


def repeated(step: Callable[[Tensor], Tensor], z: Tensor, times: int) -> Tensor:
    """`step` applied to `z` so many times.

    `step` leaves its argument as it was, gives a tensor of the same shape and layout, and neither draws nor looks at
    any value on the CPU.
    """
    if z.is_cuda and times >= RECORDED_FROM:
        return _replayed(step, z, times)
    for _ in range(times):
        z = step(z)
    return z


def _replayed(step: Callable[[Tensor], Tensor], z: Tensor, times: int) -> Tensor:
    """See "CUDA Graphs" in PyTorch's notes on CUDA semantics."""
    z = z.clone()
    here, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        step(z)  # what libraries set up and try out at a first call may not be recorded
    here.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        z.copy_(step(z))  # recorded, not done
    for _ in range(times):
        graph.replay()
    return z
