"""A job as a card: how far it is, why, its parts; once it has ended, its figures. A study as its table and plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from sieve.errors import SieveError
from sieve.notebook import markup, plots

if TYPE_CHECKING:
    from sieve.job import Job

_MANY = 60
"""Parts of a job that are shown one by one."""
_SHARES = frozenset({"standard", "robust", "validation", "validation_standard", "shifted", "stored"})
"""Figures that are fractions: shown as percent."""


def job_card(job: Job) -> str:
    """The HTML of a job."""
    said = [markup.heading(job.name or job.kind, job.id, job.state)]
    if job.name:
        said.append(markup.small(job.kind))
    if job.progress is not None and not job.done:
        said.append(_bar(job))
    if job.status_reason is not None and job.status_reason.message:
        said.append(f'<p class="why">{escape(job.status_reason.message)}</p>')
    if job.attention:
        said.append(f'<p class="why"><b>{escape(job.attention)}</b></p>')
    if job.is_study and job.succeeded:
        try:
            report = job.report()
            said.append(study_report(report) if "claims" not in report else conclusion(report))
        except SieveError as error:
            said.append(markup.small(f"its report cannot be had now: {error}"))
    elif job.children:
        said.append(_parts(job))
    elif job.result:
        said.append(markup.facts(figures(job.result)))
    said.append(markup.facts(job.outputs.items()))
    return markup.box(*said)


def study_report(report: Mapping[str, Any]) -> str:
    """A report's main table, and its plots."""
    rows = report.get("rows") or []
    if not rows:
        return ""
    epsilons = list(rows[0]["robust"])
    columns = ("trained on", "standard", *(f"{report['norm']} eps {epsilon}" for epsilon in epsilons), "images")
    cells = [
        (
            row["name"],
            markup.number(row["standard"]),
            *(markup.number(row["robust"][epsilon]) for epsilon in epsilons),
            f"{row['n_images']} x {row['n_seeds']} seed{'s' * (row['n_seeds'] != 1)}",
        )
        for row in rows
    ]
    said = [markup.table(columns, cells)]
    said.append(markup.small(f"Accuracy in % on the test set of {report['dataset']}; chance is {report['chance']:g}."))
    drawn = []
    for norm in rows[0]["robust_by_norm"]:
        curves = [
            plots.Line(
                row["name"],
                [(0.0, row["standard"]), *((float(eps), value) for eps, value in row["robust_by_norm"][norm].items())],
            )
            for row in rows
        ]
        drawn.append(plots.lines(curves, x=f"epsilon ({norm})", y="accuracy, %", y_range=(0, 100)))
    drawn.append(_readings(report.get("readings") or []))
    said.append('<div class="plots">' + "".join(f"<div>{plot}</div>" for plot in drawn if plot) + "</div>")
    cautions: dict[str, list[str]] = {}
    for caution in report.get("cautions") or ():
        cautions.setdefault(caution["said"], []).append(f"{caution['row']}, seed {caution['seed']}")
    said += [markup.small(f"Caution, {'; '.join(whose)}: {sentence}") for sentence, whose in cautions.items()]
    return "".join(said)


def conclusion(report: Mapping[str, Any]) -> str:
    """The report of a follow-up study: its claims, whether they held here and on the control, and its tables."""
    claims = [
        (
            claim["claim"],
            ("held" if claim["held"] else "did not hold") if claim["decided"] else "not decided",
            f"{claim['control']['what']}: {'held' if claim['control']['held'] else 'did not hold'}",
        )
        for claim in report["claims"]
    ]
    said = [markup.small(report["question"]), markup.table(("claim", "here", "on the control"), claims)]
    for table in report["tables"]:
        said.append(markup.small(table["title"]))
        said.append(markup.table(table["columns"], table["rows"]))
    return "".join(said)


def figures(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A job's figures as names and values, inner ones as `robust l2 0.5`; lists and details are left out."""
    for name, value in result.items():
        if name not in ("by_attack", "at_once", "reattack") and not name.endswith("histogram"):
            yield from _figure((name,), value)


def _figure(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, str]]:
    said = " ".join(path).replace("_", " ")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _figure((*path, name), inner)
    elif isinstance(value, bool | str):
        yield said, str(value)
    elif isinstance(value, int):
        yield said, f"{value:,}"
    elif isinstance(value, float):
        yield said, f"{markup.percent(value)} %" if path[0] in _SHARES else f"{value:.4g}"


def _readings(readings: list[Mapping[str, Any]]) -> str:
    models = list(dict.fromkeys(reading["model"] for reading in readings))
    told: dict[str, list[float | None]] = {}
    for reading in readings:
        changed = reading["stored_where_changed"]
        values = told.setdefault(reading["dataset"], [None] * len(models))
        values[models.index(reading["model"])] = reading["stored"] if changed is None else changed
    return plots.bars(told, [f"read by {model}" for model in models], y="stored label read, %")


def _bar(job: Job) -> str:
    assert job.progress is not None
    colour = markup.COLOURS.get(job.state, "#8a8f98")
    width = f"{100 * job.progress.fraction:.1f}%"
    left = job.progress.eta_seconds
    words = [f"{job.progress.fraction:.0%}", job.progress.phase]
    if left and job.state == "running":
        words.append(f"{_time(left)} left")
    bar = f'<div class="bar"><i style="width:{width};background:{colour}"></i></div>'
    return bar + markup.small(" · ".join(filter(None, words)))


def _parts(job: Job) -> str:
    def one(state: str, name: str, more: str) -> str:
        dot = f'<i class="dot" style="background:{markup.COLOURS.get(state, "#8a8f98")}"></i>'
        return f'<span title="{escape(name)}: {escape(state)}">{dot}{escape(name)}{escape(more)}</span>'

    shown = []
    for child in job.children[:_MANY]:
        running = child.state == "running" and child.progress is not None
        more = f" {child.progress.fraction:.0%}" if running and child.progress is not None else ""
        shown.append(one(child.state, child.node or child.kind, more))
    rest = len(job.children) - _MANY
    return f'<div class="parts">{"".join(shown)}</div>' + (markup.small(f"and {rest} more") if rest > 0 else "")


def _time(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
