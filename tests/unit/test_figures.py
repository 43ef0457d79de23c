"""Plots: what is drawn is what the table beside it says."""

from __future__ import annotations

import json

import pytest

from core.figures import Curve, accuracy_curves, histograms, reading_bars, row_label


@pytest.mark.parametrize(
    ("row", "label"),
    [("D", "D"), ("D_R", "D<sub>R</sub>"), ("D_rand_permuted", "D<sub>rand</sub> permuted")],
)
def test_row_labels(row: str, label: str) -> None:
    assert row_label(row) == label


def test_curves_draw_intervals_around_each_point() -> None:
    curve = Curve("D_R", (0.0, 0.5), (97.5, 40.8), ((95.3, 98.7), (35.8, 45.9)))
    figure = accuracy_curves([curve], "l2")
    (drawn,) = figure.json_values()["data"]
    assert (drawn["x"], drawn["y"]) == ([0.0, 0.5], [97.5, 40.8])
    assert drawn["error_y"]["array"] == pytest.approx([1.2, 5.1])
    assert drawn["error_y"]["arrayminus"] == pytest.approx([2.2, 5.0])
    assert figure.table.rows == (("D_R", "0", "97.5", "95.3 – 98.7"), ("D_R", "0.5", "40.8", "35.8 – 45.9"))


def test_histograms_draw_densities_and_tell_counts() -> None:
    held = {
        "D_rand": {"edges": [0.0, 0.5, 1.0], "counts": [0, 4]},
        "D_det": {"edges": [0.0, 0.5, 1.0], "counts": [1, 3]},
    }
    figure = histograms(held, title="t", caption="c", quantity="l2 norm")
    first, second = figure.json_values()["data"]
    assert first["y"] == [0, 0.0, 2.0, 0]
    assert second["y"] == [0, 0.5, 1.5, 0]
    assert first["x"] == [0.0, 0.0, 0.5, 1.0], "from the first edge's foot along every bin"
    assert figure.table.rows == (("D_rand", "0.5 – 1", "4"), ("D_det", "0 – 0.5", "1"), ("D_det", "0.5 – 1", "3"))


def test_bars_count_changed_labels_alone_where_there_are_some() -> None:
    readings = [
        {"model": "D", "dataset": "D_R", "stored": 97.6, "stored_where_changed": None},
        {"model": "D", "dataset": "D_rand", "stored": 13.0, "stored_where_changed": 4.0},
    ]
    figure = reading_bars(readings)
    (bars,) = figure.json_values()["data"]
    assert bars["y"] == [97.6, 4.0]
    assert figure.table.rows == (("D_R", "D", "97.6", "–"), ("D_rand", "D", "13.0", "4.0"))


def test_a_figure_is_json() -> None:
    figure = accuracy_curves([Curve("D", (0.0,), (1.0,), ((0.0, 2.0),))], "l2")
    assert "bdata" not in json.dumps(figure.json_values()), "plain lists, readable and without binary packing"
