"""Registries: datasets, architectures, attacks, job kinds. One entry is one file.

An entry module holds `ENTRY`, a frozen card that can be read without torch. Modules of the registry's own package are
found by themselves; other distributions add entries through an entry point group, so that a lab's own network needs
no fork.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, Generic, Protocol, TypeVar

from pydantic import ValidationError

from core.errors import SpecRefused, UnknownName
from sieve.specs import Spec


class Card(Protocol):
    """What every registry entry says of itself."""

    @property
    def name(self) -> str:
        """The name that specs use."""

    @property
    def summary(self) -> str:
        """One line for people."""


CardT = TypeVar("CardT", bound=Card)
OptionsT = TypeVar("OptionsT", bound=Spec)


class Registry(Generic[CardT]):
    """Entries of one sort, by name."""

    def __init__(self, what: str, package: str, group: str) -> None:
        self.what = what
        self._package = package
        self._group = group

    @cached_property
    def _entries(self) -> dict[str, CardT]:
        package = importlib.import_module(self._package)
        modules = [
            importlib.import_module(f"{self._package}.{found.name}") for found in pkgutil.iter_modules(package.__path__)
        ]
        cards: list[CardT] = [module.ENTRY for module in modules if hasattr(module, "ENTRY")]
        cards += [point.load() for point in entry_points(group=self._group)]
        entries: dict[str, CardT] = {}
        for card in cards:
            if card.name in entries:
                raise RuntimeError(f"two {self.what}s are called {card.name!r}")
            entries[card.name] = card
        return dict(sorted(entries.items()))

    def names(self) -> list[str]:
        """All names, sorted."""
        return list(self._entries)

    def cards(self) -> list[CardT]:
        """All cards, sorted by name."""
        return list(self._entries.values())

    def get(self, name: str, pointer: str = "/name") -> CardT:
        """The entry called `name`.

        Raises:
            UnknownName: there is none; `pointer` says which field asked for it.
        """
        if name not in self._entries:
            raise UnknownName(pointer, self.what, name, self._entries)
        return self._entries[name]

    def add(self, card: CardT) -> None:
        """Add an entry by hand: for tests and notebooks; distributions use the entry point group."""
        self._entries[card.name] = card


def parse_options(model: type[OptionsT], options: dict[str, Any], pointer: str = "/options") -> OptionsT:
    """Check an entry's options against its own model.

    Raises:
        SpecRefused: naming the first option that is wrong.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        path = "".join(f"/{part}" for part in first["loc"])
        raise SpecRefused(pointer + path, first["msg"]) from None
