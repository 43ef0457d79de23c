"""The job that ends a follow-up study: `report.json`, `report.md` and one self-contained `report.html`.

What a study found is a `Conclusion`, plain numbers and words; this file checks nothing and knows no study. Equal
results give equal files, byte for byte: nothing timed and no job's id goes inside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from core import plots
from core.cards import KINDS
from core.context import Context, Inputs, Output, Result
from core.figures import row_label
from core.findings import Conclusion, Figures
from core.measure import number
from core.planning import parse
from core.published import CERTAINTY
from core.report import environment
from core.results import in_order
from core.tables import MEMORY_MARK, Table
from sieve.specs import ConclusionSpec

LOW_SUCCESS = 0.8
"""A targeted attack that reaches its target less often is the first thing to look at where a claim does not hold."""


def conclude(spec: ConclusionSpec, inputs: Inputs, context: Context) -> Result:
    """Hold the study's claims against the figures of its jobs (`inputs.figures`).

    Returns:
        `report.json` as figures.
    """
    context.progress("numbers", 0, 2)
    study = parse(spec.study)
    kind = KINDS.get(str(study.kind))  # type: ignore[attr-defined]
    assert kind.conclude is not None, f"a {kind.name} has no claims"
    figures: dict[str, Figures] = {part.node: in_order(inputs.figures[part.job.name]) for part in spec.parts}
    found = kind.conclude(study, figures)
    numbers = conclusion_numbers(spec, kind.name, found, figures)
    context.progress("pages", 1, 2)
    text = json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    files = {
        ("report.json", "application/json"): text,
        ("report.md", "text/markdown"): render_markdown(numbers),
        ("report.html", "text/html"): render_page(numbers),
    }
    outputs = []
    for (name, media_type), content in files.items():
        path = context.scratch / name
        path.write_text(content, encoding="utf-8")
        outputs.append(Output(name, path, "report", media_type))
    context.progress("pages", 2, 2)
    return Result(numbers, tuple(outputs))


def conclusion_numbers(
    spec: ConclusionSpec, kind: str, found: Conclusion, figures: Mapping[str, Figures]
) -> dict[str, Any]:
    """All that the report says, as JSON values."""
    return {
        "kind": kind,
        "title": found.title,
        "question": found.question,
        "source": found.source,
        "dataset": found.dataset,
        "claims": [claim.json_values() for claim in found.claims],
        "measures": [measure.json_values() for measure in found.measures],
        "tables": [asdict(table) for table in found.tables],
        "plots": [asdict(plot) for plot in found.plots],
        "notes": list(found.notes),
        "cautions": [*_of_jobs(figures), *_reasons(figures)],
        "published": {
            "heading": found.setting,
            "certainty": CERTAINTY,
            "figures": [asdict(one) for one in found.published],
        },
        "study": spec.study,
    }


def _of_jobs(figures: Mapping[str, Figures]) -> list[dict[str, str]]:
    """What jobs themselves warn of."""
    return [{"node": node, "said": said} for node, found in figures.items() for said in found.get("cautions", ())]


def _reasons(figures: Mapping[str, Figures]) -> list[dict[str, str]]:
    """Where to look first when a claim does not hold: attacks that miss their target, then trainings that fail."""
    said = []
    for node, found in figures.items():
        success = found.get("success_where_changed")
        if success is not None and success < LOW_SUCCESS:
            said.append(
                {"node": node, "said": f"The attack reached its target on {100 * success:.1f} % of the images."}
            )
    return said


def _tables(numbers: Mapping[str, Any]) -> list[Table]:
    return [
        Table(table["title"], tuple(table["columns"]), tuple(map(tuple, table["rows"])), table["note"])
        for table in numbers["tables"]
    ]


def measures_table(measures: Sequence[Mapping[str, Any]]) -> Table:
    """Every measured figure with what it rests on."""

    def cell(value: float | None, unit: str) -> str:
        return "–" if value is None else number(value, unit)

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        unit = one["unit"]
        sure = one["interval"] == "none"
        between = "–" if sure else f"{cell(one['low'], unit)} – {cell(one['high'], unit)}"
        counts = [one["n_images"], one["n_seeds_source"], one["n_seeds_training"]]
        return (
            one["what"],
            cell(one["mean"], unit),
            between,
            cell(one["spread"], unit),
            *("–" if count is None or sure else str(count) for count in counts),
        )

    kinds = list(dict.fromkeys(one["interval_meaning"] for one in measures))
    return Table(
        title="Measured",
        columns=("what", "mean", "95 % interval", "spread", "images", "seeds of source", "trainings a source"),
        rows=tuple(row(one) for one in measures),
        note="Intervals: "
        + "; ".join(kinds)
        + ". Spread: sample standard deviation over sources, or over trainings of "
        "one source.",
    )


def published_table(numbers: Mapping[str, Any]) -> Table:
    """The published figures; those from memory carry a mark."""
    figures = numbers["published"]["figures"]
    return Table(
        title=numbers["published"]["heading"],
        columns=("what", "figure", "source"),
        rows=tuple(
            (one["what"], one["value"] + ("" if one["certainty"] == "read" else f" {MEMORY_MARK}"), one["source"])
            for one in figures
        ),
        note=f"{MEMORY_MARK} {CERTAINTY['memory']}. Everything else was {CERTAINTY['read']}.",
    )


def render_markdown(numbers: Mapping[str, Any]) -> str:
    """The conclusion as GitHub-flavoured Markdown; a plot is its data as a table."""
    drawn = [plots.figure(plot) for plot in numbers["plots"]]
    return _environment().get_template("conclusion.md.j2").render(report=numbers, drawn=drawn, **_all_tables(numbers))


def render_page(numbers: Mapping[str, Any]) -> str:
    """The self-contained page: Plotly's script inside, no request to anywhere."""
    template = _environment().get_template("conclusion.html.j2")
    drawn = [plots.figure(plot) for plot in numbers["plots"]]
    script = Markup(get_plotlyjs())  # noqa: S704
    return template.render(report=numbers, drawn=drawn, plotly=script, **_all_tables(numbers))


def _all_tables(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "measured": measures_table(numbers["measures"]),
        "tables": _tables(numbers),
        "published": published_table(numbers),
    }


def _environment() -> Environment:
    found = environment()
    found.filters["indexed"] = _indexed
    return found


def _indexed(text: str) -> Markup:
    """Text with the names of datasets in it set with an index, as in the main report."""
    return Markup(re.sub(r"\bD_(adv|R|NR|rand|det)\b", lambda found: row_label(found[0]), str(escape(text))))  # noqa: S704
