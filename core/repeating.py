"""The same work many times over, without leaving the device.

Most steps are over sooner on a GPU than the CPU can ask for their kernels. So what is done often is asked for once,
recorded as a CUDA graph, and replayed: a long run of equal steps, or the same work on other values. See "CUDA Graphs"
in PyTorch's notes on CUDA semantics.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

State = tuple[Tensor, ...]

RECORDED_FROM = 20
"""Steps that are worth the recording: it takes about as long as two or three of them, and once more their memory."""


def repeated(step: Callable[..., State], state: State, times: int) -> State:
    """`step` applied to `state` so many times.

    `step` leaves its arguments as they were, gives new tensors of the same shapes and layouts, and neither draws nor
    looks at any value on the CPU.
    """
    if times >= RECORDED_FROM and _records(state):
        return _replayed(step, state, times)
    for _ in range(times):
        state = step(*state)
    return state


class Recorded:
    """Work that is done again and again on other values: recorded at its second call, replayed from then on.

    It gives tensors, which the next call overwrites; it neither draws nor looks at any value on the CPU; what it reads
    and writes besides its arguments stays at its place in memory. Arguments of other shapes are work of their own, and
    the recording before is dropped. Not on a GPU, it is just done.
    """

    def __init__(self, work: Callable[..., State]) -> None:
        self._work = work
        self._shapes: list[tuple[torch.Size, torch.dtype]] = []
        self._graph: torch.cuda.CUDAGraph | None = None
        self._given: State = ()
        self._made: State = ()

    def __call__(self, *given: Tensor) -> State:
        """What `work` gives."""
        if not _records(given):
            return self._work(*given)
        shapes = [(tensor.shape, tensor.dtype) for tensor in given]
        if shapes != self._shapes:
            self._graph, self._given, self._made, self._shapes = None, (), (), shapes
            return self._work(*given)  # what libraries set up and try out at a first call may not be recorded
        if self._graph is None:
            self._given = tuple(tensor.clone() for tensor in given)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._made = self._work(*self._given)  # recorded, not done
            self._graph = graph
        else:
            for held, tensor in zip(self._given, given, strict=True):
                held.copy_(tensor)
        self._graph.replay()
        return self._made


def _records(state: State) -> bool:
    """On a GPU, unless what is done is being recorded already."""
    return state[0].is_cuda and not torch.cuda.is_current_stream_capturing()


def _replayed(step: Callable[..., State], state: State, times: int) -> State:
    state = tuple(tensor.clone() for tensor in state)
    here, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        step(*state)  # as in `Recorded`
    here.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for held, after in zip(state, step(*state), strict=True):
            held.copy_(after)
    for _ in range(times):
        graph.replay()
    return state
