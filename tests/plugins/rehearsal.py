"""A job kind of somebody else's distribution, in one file: it counts, slowly, and ends in every way that a job can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from core.cards import Catalogue, JobKind
from sieve.specs import Spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


class RehearsalSpec(Spec):
    """Add random numbers up, one a step."""

    kind: Literal["rehearsal"] = "rehearsal"
    steps: int = Field(default=5, ge=1)
    seconds: float = Field(default=0, ge=0)
    """How long a step takes."""
    ending: Literal[
        "well", "wrong", "no memory", "too much memory", "segfault", "deaf", "c loop", "stopped", "with orphans"
    ] = "well"


def check(spec: RehearsalSpec, catalogue: Catalogue) -> None:
    """Nothing is refused, nothing is made but figures."""
    del spec, catalogue


def build() -> Callable[[RehearsalSpec, Inputs, Context], Result]:
    import ctypes
    import os
    import signal
    import subprocess
    import time

    import torch

    from core.context import Checkpoint, Output, Result
    from core.seeding import generator

    def rehearse(spec: RehearsalSpec, inputs: Inputs, context: Context) -> Result:
        del inputs
        checkpoint = context.resume()
        done, total = (checkpoint.step, checkpoint.tensors["total"]) if checkpoint else (0, torch.zeros(4))
        if spec.ending == "with orphans":
            subprocess.Popen(["sleep", "1000"], start_new_session=True)
        for step in range(done, spec.steps):
            context.progress("counting", step, spec.steps)
            time.sleep(spec.seconds)
            total = total + torch.rand(4, generator=generator(0, "rehearsal", step))
            context.metric("total", float(total[0]), step + 1)
            now = Checkpoint(step + 1, {"total": total})
            context.safe_point(step + 1, lambda now=now: now)  # type: ignore[misc]
            if spec.ending == "wrong":
                raise ValueError("this would come again")
            if spec.ending == "no memory":
                raise MemoryError
            if spec.ending == "too much memory":
                torch.zeros(1 << 50)
            if spec.ending == "segfault":
                ctypes.string_at(0)
            if spec.ending == "c loop":
                ctypes.PyDLL(None).sleep(1000)  # holds the interpreter's lock
            if spec.ending == "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            while spec.ending == "deaf":
                time.sleep(1)
        path = context.scratch / "total"
        path.write_text(str(total.tolist()))
        figures = {"total": total.tolist(), "nothing": float("nan"), "environment": sorted(os.environ)}
        return Result(figures, (Output("total.txt", path, "data", "text/plain"),))

    return rehearse


ENTRY = JobKind(
    name="rehearsal",
    summary="count, and end in some way",
    spec=RehearsalSpec,
    slot="accelerator",
    check=check,
    build=build,
)
