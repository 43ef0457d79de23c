"""The report's plots: Plotly figures from plain numbers, each with its data as a table for those who cannot see it.

Colours are of middling lightness, so that one figure stands on light and on dark paper; text and grid lines take their
colour from the page (see `templates/report.css`). Nothing here reads a clock or draws a random number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from core.tables import Table, between, readings_table


@dataclass(frozen=True)
class Figure:
    """A plot and what it shows."""

    title: str
    caption: str
    plot: go.Figure
    table: Table
    """The data, all of it."""

    def json_values(self) -> dict[str, Any]:
        """Data and layout as Plotly's script takes them."""
        values: dict[str, Any] = self.plot.to_plotly_json()
        return {"data": values["data"], "layout": values["layout"]}


@dataclass(frozen=True)
class Curve:
    """Accuracies of one row at rising epsilons, percent; epsilon 0 is the clean accuracy."""

    row: str
    epsilons: tuple[float, ...]
    accuracy: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    """(low, high) at each epsilon."""


@dataclass(frozen=True)
class _Look:
    colour: str
    dash: str
    symbol: str


_LOOKS = {
    "D": _Look("#7c8086", "solid", "circle"),
    "D_adv": _Look("#3f7fbf", "solid", "square"),
    "D_R": _Look("#1f9a8c", "solid", "diamond"),
    "D_NR": _Look("#cf7d1e", "solid", "triangle-up"),
    "D_rand": _Look("#cc4b5c", "solid", "triangle-down"),
    "D_det": _Look("#8d66c4", "dash", "cross"),
    "D_rand_permuted": _Look("#7c8086", "dot", "x"),
}


def row_label(row: str) -> str:
    """A row's name as HTML, which Plotly reads as well: `D_rand_permuted` is D with an index, and "permuted"."""
    letter, _, index = row.partition("_")
    index, _, remark = index.partition("_")
    return letter + (f"<sub>{index}</sub>" if index else "") + (f" {remark}" if remark else "")


def plots(numbers: Mapping[str, Any]) -> dict[str, list[Figure]]:
    """A report's figures, by section: `curves`, `histograms`, `readings`.

    Args:
        numbers: see `core.results.report_numbers`.
    """
    return {
        "curves": [
            accuracy_curves([_curve(row, norm) for row in numbers["rows"]], norm)
            for norm in numbers["rows"][0]["robust_by_norm"]
        ],
        "histograms": list(_histograms({made["name"]: made["histograms"] for made in numbers["constructions"]})),
        "readings": [reading_bars(numbers["readings"])] if numbers["readings"] else [],
    }


def _curve(row: Mapping[str, Any], norm: str) -> Curve:
    robust, intervals = row["robust_by_norm"][norm], row["interval"]["robust_by_norm"][norm]
    return Curve(
        row=row["name"],
        epsilons=(0.0, *(float(epsilon) for epsilon in robust)),
        accuracy=(row["standard"], *robust.values()),
        intervals=tuple((low, high) for low, high in (row["interval"]["standard"], *intervals.values())),
    )


def _histograms(held: Mapping[str, Mapping[str, Any]]) -> Iterator[Figure]:
    """Norms and feature distances, those of feature matching and of targeted attacks apart."""
    for key, rows, title, caption, quantity in (
        (
            "norm_histogram",
            ("D_R", "D_NR"),
            "How far feature matching moved the images",
            "Distance from the start image; there is no ball to stay in.",
            "l2 norm",
        ),
        (
            "norm_histogram",
            ("D_rand", "D_det"),
            "How far the targeted attacks moved the images",
            "Distance from the image itself; at most epsilon.",
            "l2 norm",
        ),
        (
            "feature_distance_histogram",
            ("D_R", "D_NR"),
            "How well the features were matched",
            "Distance between the features of the result and those of the image it stands for, relative to the latter.",
            "relative feature distance",
        ),
    ):
        series = {row: held[row][key] for row in rows if row in held}
        if series:
            yield histograms(series, title=title, caption=caption, quantity=quantity)


def accuracy_curves(curves: Sequence[Curve], norm: str) -> Figure:
    """Accuracy on the test images against the attack's radius, one line a row, with 95 % intervals."""
    plot = empty(f"epsilon ({norm})", "accuracy, %", y_range=(-2, 102))
    plot.update_layout(legend={"entrywidth": 84, "font": {"size": 12}})  # just the widest name: two columns on a phone
    plot.update_xaxes(range=[-0.03 * (widest := max(max(curve.epsilons) for curve in curves)), 1.03 * widest])
    for curve in curves:
        look = _LOOKS[curve.row]
        plot.add_scatter(
            x=list(curve.epsilons),
            y=list(curve.accuracy),
            name=row_label(curve.row),
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash, "width": 2.25},
            marker={"symbol": look.symbol, "size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [round(high - y, 4) for y, (_, high) in zip(curve.accuracy, curve.intervals, strict=True)],
                "arrayminus": [round(y - low, 4) for y, (low, _) in zip(curve.accuracy, curve.intervals, strict=True)],
                "thickness": 1,
                "width": 0,
            },
            hovertemplate="epsilon %{x}: %{y:.1f} %<extra>" + row_label(curve.row) + "</extra>",
        )
    rows = [
        (curve.row, f"{epsilon:g}", f"{accuracy:.1f}", between((low, high)))
        for curve in curves
        for epsilon, accuracy, (low, high) in zip(curve.epsilons, curve.accuracy, curve.intervals, strict=True)
    ]
    return Figure(
        title=f"Accuracy against the radius of the attack ({norm})",
        caption="Epsilon 0 is the clean test set. Bars are 95 % intervals.",
        plot=plot,
        table=Table("Accuracy, %", ("trained on", "epsilon", "accuracy", "95 % interval"), tuple(rows)),
    )


def histograms(
    series: Mapping[str, Mapping[str, Sequence[float]]], *, title: str, caption: str, quantity: str
) -> Figure:
    """How a quantity is distributed over the images of constructed datasets: densities, since bins may differ in width.

    Args:
        series: by row of the table, `{"edges": [k + 1 values], "counts": [k values]}`.
        quantity: the horizontal axis, with its unit.
    """
    plot = empty(quantity, "density", y_range=None)
    rows: list[tuple[str, ...]] = []
    for row, histogram in series.items():
        edges, counts = list(histogram["edges"]), list(histogram["counts"])
        images = sum(counts)
        bins = list(zip(edges[:-1], edges[1:], counts, strict=True))
        densities = [round(count / images / (high - low), 6) for low, high, count in bins]
        plot.add_scatter(
            x=[edges[0], *edges],
            y=[0, *densities, 0],
            customdata=[0, *(100 * count / images for count in counts), 0],
            name=row_label(row),
            mode="lines",
            line={"color": _LOOKS[row].colour, "shape": "hv", "width": 1.5},
            fill="tozeroy",
            opacity=0.9,
            hovertemplate="from %{x:.3g}: %{customdata:.1f} % of the images<extra>" + row_label(row) + "</extra>",
        )
        rows += [(row, f"{low:.4g} – {high:.4g}", f"{count:g}") for low, high, count in bins if count]
    return Figure(title, caption, plot, Table(title, ("dataset", quantity, "images"), tuple(rows)))


def reading_bars(readings: Sequence[Mapping[str, Any]]) -> Figure:
    """How often the two source models read the stored label off the constructed images.

    Args:
        readings: the report's `readings`, percent.
    """
    plot = empty("", "stored label read, %", y_range=(0, 109))
    plot.update_layout(barmode="group", bargap=0.35, bargroupgap=0.08, xaxis={"type": "category", "showgrid": False})
    for model in dict.fromkeys(reading["model"] for reading in readings):
        shown = [reading for reading in readings if reading["model"] == model]
        values = [_where_it_tells(reading) for reading in shown]
        plot.add_bar(
            x=[row_label(reading["dataset"]) for reading in shown],
            y=values,
            name=f"read by {row_label(model)}",
            marker={"color": _LOOKS[model].colour},
            text=["" if value is None else f"{value:.0f}" for value in values],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{x}: %{y:.1f} %<extra>" + f"read by {row_label(model)}" + "</extra>",
        )
    return Figure(
        title="Who reads the new labels?",
        caption=(
            "Share of the constructed images whose stored label a source model reads. Where labels were changed, only "
            "images whose stored label differs from their own are counted."
        ),
        plot=plot,
        table=readings_table(readings),
    )


def _where_it_tells(reading: Mapping[str, Any]) -> float | None:
    """Changed images alone where there are some: on the others a correct reading would say nothing."""
    value: float | None = reading["stored_where_changed"]
    return reading["stored"] if value is None else value


def empty(x_title: str, y_title: str, *, y_range: tuple[float, float] | None) -> go.Figure:
    """Axes without data, in the report's manner."""
    axis = {"zeroline": False, "showline": False, "ticks": "", "automargin": True}
    return go.Figure(
        layout={
            "template": {},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#7c8086"},
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
            "height": 380,
            "showlegend": True,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
            "hoverlabel": {"align": "left"},
            "xaxis": {**axis, "title": {"text": x_title}, "rangemode": "tozero"},
            "yaxis": {**axis, "title": {"text": y_title}, "rangemode": "tozero"}
            | ({} if y_range is None else {"range": list(y_range)}),
        }
    )
