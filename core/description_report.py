"""The files of a description: JSON with its numbers and plots, Markdown, one self-contained page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from core.description_figures import plots, tables
from core.report import environment

SECTIONS = {
    "balance": "Classes",
    "pixels": "Pixels",
    "spectrum": "Spectrum",
    "moved": "What was moved",
    "neighbours": "Neighbours in the source",
    "readings": "Who reads the labels",
    "rounding": "Eight bits a channel",
    "trial": "Eight bits a channel, and a model trained on them",
}
"""By key of plots and tables: the title, in the order of the page."""


def json_document(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers, and under `plots`, by section, each plot as Plotly takes it, with title, caption and table."""
    drawn = {
        section: [
            {
                "title": figure.title,
                "caption": figure.caption,
                **figure.json_values(),
                "table": {"columns": figure.table.columns, "rows": figure.table.rows},
            }
            for figure in figures
        ]
        for section, figures in plots(numbers).items()
    }
    return {**numbers, "plots": drawn}


def render_page(numbers: Mapping[str, Any], sheets: Mapping[str, bytes]) -> str:
    """One page, with Plotly's script and the sheets (PNG, by file name) inside."""
    pictures = {name: f"data:image/png;base64,{base64.b64encode(content).decode()}" for name, content in sheets.items()}
    return (
        environment()
        .get_template("description.html.j2")
        .render(
            told=numbers,
            sections=SECTIONS,
            plots=plots(numbers),
            tables=tables(numbers),
            sheets=pictures,
            plotly=Markup(get_plotlyjs()),  # noqa: S704
        )
    )


def render_markdown(numbers: Mapping[str, Any], sheets: Sequence[str]) -> str:
    """GitHub-flavoured Markdown; the sheets are named, not inside."""
    shown = {section: table for section, table in tables(numbers).items() if table is not None}
    shown["balance"] = plots(numbers)["balance"][0].table
    template = environment().get_template("description.md.j2")
    return template.render(told=numbers, sections=SECTIONS, tables=shown, sheets=sheets)
