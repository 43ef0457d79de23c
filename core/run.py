"""Run one job's routine."""

from __future__ import annotations

from core.arithmetic import algorithms, convolutions
from core.cards import KINDS
from core.context import Context, Inputs, Result
from sieve.specs import Spec


def execute(spec: Spec, inputs: Inputs, context: Context) -> Result:
    """Do the job that `spec` describes. The spec was checked when it was planned.

    Raises:
        CoreError: see `core.errors`.
    """
    kind = KINDS.get(str(spec.kind))  # type: ignore[attr-defined]
    assert kind.build is not None, f"a {kind.name} is only its children"
    with convolutions("exact"), algorithms(tried_out=kind.name != "evaluate"):
        return kind.build()(spec, inputs, context)
