"""Plots of the page alone: curves that grow, balance, norms, confusion, evaluations that are no rows of one study."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Mapping, Sequence

from core.figures import Curve, Figure, empty
from core.tables import Table

_SERIES = ("#3f7fbf", "#cf7d1e", "#1f9a8c", "#cc4b5c", "#8d66c4", "#7c8086", "#a3842c", "#4b8f3c")
_DASHES = ("solid", "dash", "dot", "dashdot")
_TITLES = {
    "loss": "Training loss",
    "validation": "Accuracy on held-out images",
    "validation_robust": "Robust accuracy on held-out images",
}


def metric_curves(name: str, series: Mapping[str, Sequence[tuple[int, float]]], *, note: str = "") -> Figure:
    """How a metric grows, one line a job. A point that is no finite number is a gap; the table says what it was.

    Args:
        name: the metric's, such as `loss`.
        series: by what to call the line, (step, value) in order of the steps.
    """
    plot = empty("step", "", y_range=None)
    plot.update_layout(height=250, showlegend=len(series) > 1)
    rows: list[tuple[str, ...]] = []
    for place, (label, points) in enumerate(series.items()):
        plot.add_scatter(
            x=[step for step, _ in points],
            y=[value if math.isfinite(value) else None for _, value in points],
            name=html.escape(label),
            mode="lines" if len(points) > 1 else "markers",
            line={
                "color": _SERIES[place % len(_SERIES)],
                "width": 2,
                "dash": _DASHES[place // len(_SERIES) % len(_DASHES)],
            },
            hovertemplate="step %{x}: %{y:.4g}<extra>" + html.escape(label) + "</extra>",
        )
        rows += [(label, str(step), f"{value:.6g}") for step, value in points]
    columns: tuple[str, ...] = ("job", "step", name)
    first = 0 if len(series) > 1 else 1
    title = _TITLES.get(name, name.replace("_", " ").capitalize())
    return Figure(title, note, plot, Table(title, columns[first:], tuple(row[first:] for row in rows)))


def class_balance(classes: Sequence[str], counts: Sequence[int]) -> Figure:
    """How many images of each class a dataset holds."""
    plot = empty("", "images", y_range=None)
    plot.update_layout(height=280, showlegend=False, bargap=0.35)
    plot.update_layout(xaxis={"type": "category", "showgrid": False})
    names = [html.escape(name) for name in classes]
    plot.add_bar(x=names, y=list(counts), marker={"color": _SERIES[0]}, hovertemplate="%{x}: %{y}<extra></extra>")
    rows = tuple((name, str(count)) for name, count in zip(classes, counts, strict=True))
    return Figure("Images of each class", "", plot, Table("Images of each class", ("class", "images"), rows))


def norm_histogram(edges: Sequence[float], counts: Sequence[int], *, left_out: int = 0) -> Figure:
    """How far a dataset's images were moved.

    Args:
        left_out: images whose norm is no finite number.
    """
    plot = empty("norm", "images", y_range=None)
    plot.update_layout(height=280, showlegend=False, bargap=0.02)
    middles = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    plot.add_bar(x=middles, y=list(counts), marker={"color": _SERIES[2]}, hovertemplate="%{x:.3g}: %{y}<extra></extra>")
    bins = zip(edges[:-1], edges[1:], counts, strict=True)
    rows = tuple((f"{low:.4g} – {high:.4g}", str(count)) for low, high, count in bins if count)
    note = f"{left_out} images have no finite norm." if left_out else ""
    title = "How far the images were moved"
    return Figure(
        title, note or "Distance from the image that each started from.", plot, Table(title, ("norm", "images"), rows)
    )


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Figure:
    """Which classes a model takes for which, on clean test images.

    Args:
        counts: by true class, then by the class that was read.
    """
    plot = empty("read as", "true class", y_range=None)
    names = [html.escape(name) for name in classes]
    shares = [[100 * count / max(sum(row), 1) for count in row] for row in counts]
    plot.update_layout(height=max(320, 26 * len(classes) + 90), showlegend=False)
    plot.update_xaxes(type="category", showgrid=False, side="bottom")
    plot.update_yaxes(type="category", showgrid=False, autorange="reversed")
    plot.add_heatmap(
        x=names,
        y=names,
        z=shares,
        customdata=[list(row) for row in counts],
        zmin=0,
        zmax=100,
        xgap=1,
        ygap=1,
        colorscale=[[0, "rgba(63,127,191,0.04)"], [1, "rgba(63,127,191,1)"]],
        showscale=False,
        hovertemplate="%{y} read as %{x}: %{customdata} images, %{z:.1f} %<extra></extra>",
    )
    rows = tuple((name, *map(str, row)) for name, row in zip(classes, counts, strict=True))
    title = "Which class is taken for which"
    caption = "Clean test images: a row a true class, a column what the model read, in per cent of the row."
    return Figure(title, caption, plot, Table(title, ("true class", *classes), rows))


def robust_curves(series: Mapping[str, Curve], norm: str) -> Figure:
    """Accuracy against the attack's radius, one line a label: evaluations that are no rows of one study."""
    plot = empty(f"epsilon ({norm})", "accuracy, %", y_range=(-2, 102))
    plot.update_layout(height=320, showlegend=len(series) > 1)
    rows = []
    for place, (label, curve) in enumerate(series.items()):
        plot.add_scatter(
            x=list(curve.epsilons),
            y=list(curve.accuracy),
            name=html.escape(label),
            mode="lines+markers",
            line={"color": _SERIES[place % len(_SERIES)], "width": 2.25},
            hovertemplate="epsilon %{x}: %{y:.1f} %<extra>" + html.escape(label) + "</extra>",
        )
        rows += [(label, f"{e:g}", f"{a:.1f}") for e, a in zip(curve.epsilons, curve.accuracy, strict=True)]
    title = f"Accuracy against the radius of the attack ({norm})"
    table = Table(title, ("evaluation", "epsilon", "accuracy, %"), tuple(rows))
    return Figure(title, "Epsilon 0 is the clean test set.", plot, table)
