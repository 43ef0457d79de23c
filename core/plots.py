"""Draws the plots of follow-up studies, which are data (`core.findings.Plot` as JSON values), as reports do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.figures import Figure, empty
from core.tables import Table

COLOURS = ("#3f7fbf", "#cc4b5c", "#1f9a8c", "#cf7d1e", "#8d66c4", "#7c8086")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")


def figure(plot: Mapping[str, Any]) -> Figure:
    """A plot with its data as a table."""
    drawn = empty(plot["x"], plot["y"], y_range=None)
    if plot["square"]:
        drawn.update_layout(height=560)
        drawn.update_yaxes(scaleanchor="x", scaleratio=1, rangemode="normal")
        drawn.update_xaxes(rangemode="normal")
    names = list(dict.fromkeys(series["like"] or series["name"] for series in plot["series"]))
    for series in plot["series"]:
        at = names.index(series["like"] or series["name"])
        colour, symbol = COLOURS[at % len(COLOURS)], SYMBOLS[at % len(SYMBOLS)]
        draw = {"lines": _lines, "points": _points, "bars": _bars, "arrows": _arrows}[series["mark"] or plot["mark"]]
        draw(drawn, series, colour, symbol)
    return Figure(plot["title"], plot["caption"], drawn, _table(plot))


def _error(series: Mapping[str, Any]) -> dict[str, Any] | None:
    if not series["low"]:
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [round(high - y, 6) for y, high in zip(series["y"], series["high"], strict=True)],
        "arrayminus": [round(y - low, 6) for y, low in zip(series["y"], series["low"], strict=True)],
        "thickness": 1,
        "width": 0,
    }


def _lines(drawn: Any, series: Mapping[str, Any], colour: str, symbol: str) -> None:
    many = len(series["x"]) > 40
    drawn.add_scatter(
        x=list(series["x"]),
        y=list(series["y"]),
        name=series["name"],
        mode="lines" if many else "lines+markers",
        line={"color": colour, "dash": series["dash"], "width": 2},
        marker={"symbol": symbol, "size": 7},
        error_y=_error(series),
    )


def _points(drawn: Any, series: Mapping[str, Any], colour: str, symbol: str) -> None:
    drawn.add_scatter(
        x=list(series["x"]),
        y=list(series["y"]),
        name=series["name"],
        text=list(series["text"]),
        mode="markers+text" if series["text"] else "markers",
        textposition="top center",
        marker={"color": colour, "symbol": symbol, "size": 10},
        error_y=_error(series),
        cliponaxis=False,
    )


def _bars(drawn: Any, series: Mapping[str, Any], colour: str, symbol: str) -> None:
    del symbol
    drawn.update_layout(barmode="group", bargap=0.35, xaxis={"type": "category", "showgrid": False})
    drawn.add_bar(
        x=list(series["x"]), y=list(series["y"]), name=series["name"], marker={"color": colour}, error_y=_error(series)
    )


def _arrows(drawn: Any, series: Mapping[str, Any], colour: str, symbol: str) -> None:
    """Pairs of points: a line from the first to the second, and a mark at the second."""
    del symbol
    x: list[float | None] = []
    y: list[float | None] = []
    for at in range(0, len(series["x"]), 2):
        x += [series["x"][at], series["x"][at + 1], None]
        y += [series["y"][at], series["y"][at + 1], None]
    drawn.add_scatter(
        x=x, y=y, name=series["name"], mode="lines", line={"color": colour, "width": 1.25}, hoverinfo="skip"
    )
    drawn.add_scatter(
        x=list(series["x"][1::2]),
        y=list(series["y"][1::2]),
        mode="markers",
        marker={"color": colour, "size": 3.5},
        showlegend=False,
        hoverinfo="skip",
    )


def _table(plot: Mapping[str, Any]) -> Table:
    def shown(value: float | str) -> str:
        return value if isinstance(value, str) else f"{value:.4g}"

    rows = []
    for series in plot["series"]:
        for at, (x, y) in enumerate(zip(series["x"], series["y"], strict=True)):
            between = f"{shown(series['low'][at])} – {shown(series['high'][at])}" if series["low"] else "–"
            name = f"{series['name']}, {series['text'][at]}" if series["text"] else series["name"]
            rows.append((name, shown(x), shown(y), between))
    columns = ("series", plot["x"] or "x", plot["y"] or "y", "95 % interval")
    return Table(plot["title"], columns, tuple(rows))
