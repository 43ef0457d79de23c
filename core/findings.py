"""What a follow-up study hands to its report: claims, figures, tables, plots as data, published figures. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.claims import Claim
from core.measure import Measure
from core.tables import Table

Figures = Mapping[str, Any]
Mark = Literal["lines", "points", "bars", "arrows"]
"""How a series is drawn. `arrows`: it is pairs of points, from and to."""


@dataclass(frozen=True)
class PublishedFigure:
    """One published figure. It stands beside a report for orientation, and is never a pass mark."""

    what: str
    value: str
    source: str
    certainty: Literal["read", "memory"]


@dataclass(frozen=True)
class Series:
    """One line, cloud of points or set of bars."""

    name: str
    x: tuple[float | str, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    """With `high`, an interval at each point; empty for none."""
    high: tuple[float, ...] = ()
    text: tuple[str, ...] = ()
    """What each point is called."""
    dash: Literal["solid", "dash", "dot"] = "solid"
    like: str = ""
    """Name of a series that it shares its colour with."""
    mark: Mark | None = None
    """Where it is drawn otherwise than the plot says."""


@dataclass(frozen=True)
class Plot:
    """A plot as data."""

    title: str
    caption: str
    mark: Mark
    x: str
    """Axis titles, with units."""
    y: str
    series: tuple[Series, ...]
    square: bool = False
    """One unit is as long on both axes."""


@dataclass(frozen=True)
class Conclusion:
    """What a study found."""

    title: str
    question: str
    source: str
    """Who claims it."""
    dataset: str
    claims: tuple[Claim, ...]
    measures: tuple[Measure, ...]
    """All figures, those of the claims included."""
    setting: str
    """Of the published figures."""
    published: tuple[PublishedFigure, ...]
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """What a reader must know: how something was measured, what is different from the publication."""
