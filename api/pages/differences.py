"""Two specs beside each other, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Field:
    """A field of a spec, and of another one. `ABSENT` where there is none."""

    pointer: str
    value: Any
    other: Any

    @property
    def differs(self) -> bool:
        """Are they different?"""
        return bool(self.value != self.other)


ABSENT = "–"


def fields(spec: Mapping[str, Any], other: Mapping[str, Any] | None = None) -> list[Field]:
    """All fields of both, those of `spec` first. Without `other`, nothing differs."""
    mine = dict(_flat(spec, ""))
    theirs = mine if other is None else dict(_flat(other, ""))
    return [Field(name, mine.get(name, ABSENT), theirs.get(name, ABSENT)) for name in dict.fromkeys([*mine, *theirs])]


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flat(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for at, item in enumerate(value):
            yield from _flat(item, f"{path}.{at}")
    else:
        yield path, value
