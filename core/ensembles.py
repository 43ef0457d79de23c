"""Attacks that stand for others. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from core.cards import ATTACKS
from core.registry import parse_options
from sieve.specs import AttackRef


def members(refs: Iterable[AttackRef]) -> Iterator[AttackRef]:
    """The attacks that are really made, in their order: an ensemble's own in its place."""
    for ref in refs:
        entry = ATTACKS.get(ref.name)
        if entry.members is None:
            yield ref
        else:
            yield from members(entry.members(parse_options(entry.options, ref.options)))
