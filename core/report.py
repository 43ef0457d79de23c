"""The report that ends a study: `report.json`, `report.md`, one self-contained `report.html`, and the picture wall, as
`wall.png` and as the images themselves.

Equal results give equal files, byte for byte: nothing timed goes inside.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from core import figures, pictures, tables
from core.context import Context, Inputs, Output, Result
from core.images import Splits, open_dataset
from core.pictures import Row
from core.results import parts_by_row, report_numbers
from core.studies import CONSTRUCTED, WALL
from core.wall import write_wall
from core.wording import findings, said_once
from sieve.specs import DatasetRef, ReportSpec

TEMPLATES = Path(__file__).parent / "templates"


def report(spec: ReportSpec, inputs: Inputs, context: Context) -> Result:
    """Gather a study's results.

    `inputs.figures` holds the figures of every part, `inputs.datasets` the constructed datasets, by job name.

    Returns:
        `report.json` as figures, with the summed seconds of the parts by role under "seconds", which is in no file.
    """
    context.progress("numbers", 0, 3)
    dataset = open_dataset(spec.study.dataset, inputs, context.data_folder)
    numbers = report_numbers(spec, inputs.figures, dataset.classes)
    context.progress("pictures", 1, 3)
    rows = list(wall_rows(spec, dataset, inputs, context.data_folder))
    context.progress("pages", 2, 3)
    text = json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    files = {
        ("report.json", "report", "application/json"): text.encode(),
        ("report.md", "report", "text/markdown"): render_markdown(numbers).encode(),
        ("report.html", "report", "text/html"): render_page(numbers, rows).encode(),
        ("wall.png", "picture", "image/png"): pictures.png(pictures.sheet(rows)),
    }
    outputs = []
    for (name, role, media_type), content in files.items():
        path = context.scratch / name
        path.write_bytes(content)
        outputs.append(Output(name, path, role, media_type))  # type: ignore[arg-type]
    path = context.scratch / WALL
    write_wall(path, spec, dataset, inputs, context.data_folder)
    outputs.append(Output(path.name, path, "data", "application/octet-stream"))
    context.progress("pages", 3, 3)
    return Result({**numbers, "seconds": _seconds(spec, inputs)}, tuple(outputs))


def wall_rows(spec: ReportSpec, dataset: Splits, inputs: Inputs, data_folder: Path) -> Iterator[Row]:
    """The same ten training images in every constructed dataset of the first seed, with what was added to each.

    An amplified difference is taken from the image that the construction started at.
    """
    source = dataset.train
    chosen = pictures.in_class_order(source.labels)
    yield Row("source", source.batch(chosen), _names(dataset, source.labels[chosen]))
    parts = parts_by_row(spec)
    shown_starts: torch.Tensor | None = None
    for name in CONSTRUCTED:
        if ("synthesize", name) not in parts:
            continue
        _, job = parts["synthesize", name][0]
        constructed = open_dataset(DatasetRef(name=job), inputs, data_folder).train
        at = torch.stack([(constructed.columns["source_index"] == index).nonzero()[0, 0] for index in chosen])
        made = constructed.select(at)
        starts = made.starts
        if starts is None:  # it began as noise: nothing was added to an image
            yield Row(name, made.batch(slice(None)), _names(dataset, made.labels))
            continue
        if "start_index" in made.columns and (shown_starts is None or not torch.equal(starts, shown_starts)):
            yield Row("start", source.batch(starts), _names(dataset, source.labels[starts]))
            shown_starts = starts
        yield Row(name, made.batch(slice(None)), _names(dataset, made.labels))
        difference = made.batch(slice(None)) - source.batch(starts)
        factor = pictures.amplification(difference)
        yield Row(f"what was added, x{factor}", pictures.amplified(difference, factor))


def render_page(numbers: Mapping[str, Any], wall: list[Row]) -> str:
    """The self-contained page: Plotly's script and every picture inside, no request to anywhere."""
    tiles = [
        {
            "title": row.title,
            "cells": [
                {"url": _data_url(image), "caption": caption}
                for image, caption in zip(row.images, row.captions or ("",) * len(row.images), strict=True)
            ],
        }
        for row in wall
    ]
    template = environment().get_template("report.html.j2")
    return template.render(
        report=numbers,
        findings=findings(numbers),
        wall=tiles,
        plots=figures.plots(numbers),
        tables=_tables(numbers),
        plotly=Markup(get_plotlyjs()),  # noqa: S704
    )


def render_markdown(numbers: Mapping[str, Any]) -> str:
    """The report as GitHub-flavoured Markdown; the picture wall is named, not inside."""
    template = environment().get_template("report.md.j2")
    return template.render(report=numbers, findings=findings(numbers), tables=_tables(numbers))


def _tables(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "main": tables.main_table(numbers),
        "published": tables.published_table(numbers),
        "constructions": tables.construction_tables(numbers),
        "readings": tables.readings_table(numbers["readings"]),
        "other": tables.other_table(numbers),
        "corruptions": tables.corruptions_table(numbers),
        "attacks": tables.attacks_table(numbers),
        "reattack": tables.reattack_table(numbers),
        "choices": tables.choices_table(numbers),
    }


def environment() -> Environment:
    """Where the templates are, and what they may call."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["indexed"] = _indexed
    found.filters["said_once"] = said_once
    found.filters["number"] = tables.number
    found.filters["between"] = tables.between
    return found


def _indexed(text: str) -> Markup:
    """Text with the names of rows in it, such as `D_rand`, set as a letter with an index."""
    return Markup(re.sub(r"\bD_[A-Za-z_]+", lambda found: figures.row_label(found[0]), str(escape(text))))  # noqa: S704


def _names(dataset: Splits, labels: torch.Tensor) -> tuple[str, ...]:
    return tuple(dataset.classes[label] for label in labels.tolist())


def _data_url(image: torch.Tensor) -> str:
    """An image [C, H, W] at its own size, to be enlarged by the browser without smoothing."""
    return "data:image/png;base64," + base64.b64encode(pictures.png(pictures.tile(image, longest=1))).decode()


def _seconds(spec: ReportSpec, inputs: Inputs) -> dict[str, float]:
    """Compute seconds of all parts, summed by role."""
    return {
        role: math.fsum(
            inputs.figures[job]["seconds"]
            for (part, _), held in parts_by_row(spec).items()
            if part == role
            for _, job in held
        )
        for role in ("train", "synthesize", "evaluate")
    }
