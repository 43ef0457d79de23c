"""Job kind `shard`: a share of a large synthesis or evaluation. Made by the service, not submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, JobKind
from sieve.specs import ShardSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: ShardSpec, catalogue: Catalogue) -> None:
    """Nothing to check: the whole job was."""
    del spec, catalogue


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from core.shards import shard  # noqa: PLC0415

    return shard


ENTRY = JobKind(
    name="shard",
    summary="do a share of a large synthesis or evaluation",
    spec=ShardSpec,
    slot="accelerator",
    check=check,
    build=build,
    submittable=False,
)
