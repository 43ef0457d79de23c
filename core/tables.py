"""The report's numbers as tables of text, for Markdown, for the page, and for those who cannot see a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.published import CERTAINTY

Numbers = Mapping[str, Any]
MEMORY_MARK = "†"
_LENGTHS = "Lengths are means over the images; in brackets the 5th and the 95th percentile."


@dataclass(frozen=True)
class Table:
    """Cells are plain text. The first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def number(value: float | None, digits: int = 1) -> str:
    """A figure for people; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def between(pair: Sequence[float]) -> str:
    """An interval for people."""
    return f"{number(pair[0])} – {number(pair[1])}"


def main_table(numbers: Numbers) -> Table:
    """Standard and robust accuracy of every row, with intervals."""
    epsilons = list(numbers["rows"][0]["robust"])

    def cell(row: Numbers, *path: str) -> str:
        value, interval = row, row["interval"]
        for key in path:
            value, interval = value[key], interval[key]
        return f"{number(value)} ({between(interval)})"  # type: ignore[arg-type]

    return Table(
        title="Accuracy on the test set, %",
        columns=("trained on", "standard", *(f"{numbers['norm']} eps {epsilon}" for epsilon in epsilons)),
        rows=tuple(
            (row["name"], cell(row, "standard"), *(cell(row, "robust", epsilon) for epsilon in epsilons))
            for row in numbers["rows"]
        ),
    )


def published_table(numbers: Numbers) -> Table:
    """The published figures; those from memory carry a mark, and the note says so."""
    rows = numbers["published"]["rows"]
    epsilons = sorted({epsilon for row in rows for epsilon in row["robust"]}, key=float)

    def cell(figure: Numbers | None) -> str:
        if figure is None:
            return "–"
        low, high = figure["low"], figure["high"]
        text = f"{low:g}" if low == high else f"{low:g} – {high:g}"
        return text if figure["certainty"] == "read" else f"{text} {MEMORY_MARK}"

    return Table(
        title=numbers["published"]["heading"],
        columns=("trained on", "standard", *(f"l2 eps {epsilon}" for epsilon in epsilons)),
        rows=tuple(
            (row["name"], cell(row["standard"]), *(cell(row["robust"].get(epsilon)) for epsilon in epsilons))
            for row in rows
        ),
        note=f"{MEMORY_MARK} {CERTAINTY['memory']}. Everything else was {CERTAINTY['read']}.",
    )


def construction_tables(numbers: Numbers) -> list[Table]:
    """How the constructed datasets came out: those made by feature matching, then those made by targeted attacks."""
    matched = [made for made in numbers["constructions"] if made["method"] == "robust"]
    targeted = [made for made in numbers["constructions"] if made["method"] != "robust"]
    tables = []
    if matched:
        tables.append(
            Table(
                title="Made by feature matching",
                columns=(
                    "dataset",
                    "source model",
                    "images",
                    "moved by, l2",
                    "relative feature distance",
                    "nearer to its start than to its source, %",
                    "source model reads the label, %",
                ),
                rows=tuple(
                    (
                        *_made(made),
                        _distribution(made["feature_distance"]),
                        number(made["nearer_to_start"]),
                        number(made["source_reads_label"]),
                    )
                    for made in matched
                ),
                note=_LENGTHS,
            )
        )
    if targeted:
        tables.append(
            Table(
                title="Made by targeted attacks",
                columns=(
                    "dataset",
                    "source model",
                    "images",
                    "moved by, l2",
                    "target reached, %",
                    "target reached where it differs from the label, %",
                    "at the ball's surface, %",
                ),
                rows=tuple(
                    (
                        *_made(made),
                        number(made["success"]),
                        number(made["success_where_changed"]),
                        number(made["at_surface"]),
                    )
                    for made in targeted
                ),
                note=_LENGTHS,
            )
        )
    return tables


def readings_table(readings: Sequence[Numbers]) -> Table:
    """How often the source models read the stored labels of the constructed images."""
    return Table(
        title="Stored label read by the source models, %",
        columns=("images of", "read by", "all images", "images whose stored label differs from their own"),
        rows=tuple(
            (reading["dataset"], reading["model"], number(reading["stored"]), number(reading["stored_where_changed"]))
            for reading in readings
        ),
    )


def other_table(numbers: Numbers) -> Table:
    """Accuracy under noise, and on labels shifted by one class."""
    deviations = list(numbers["rows"][0]["noise"])
    return Table(
        title="Without an attack, %",
        columns=(
            "trained on",
            "clean",
            *(f"Gaussian noise of {deviation}" for deviation in deviations),
            "on (x, y + 1)",
        ),
        rows=tuple(
            (
                row["name"],
                number(row["standard"]),
                *(number(row["noise"][deviation]) for deviation in deviations),
                number(row["shifted"]),
            )
            for row in numbers["rows"]
        ),
    )


def attacks_table(numbers: Numbers) -> Table:
    """What each attack, made after those before it, leaves with its interval, and the worst case over all of them."""
    by_norm: Numbers = numbers["rows"][0]["by_attack"]
    attacks = list(dict.fromkeys(name for held in by_norm.values() for found in held.values() for name in found))
    return Table(
        title="Robust accuracy by attack, %",
        columns=("trained on", "within", *(name.replace("_", " ") for name in attacks), "worst case"),
        rows=tuple(
            (
                row["name"],
                f"{norm} {epsilon}",
                *(_left(row, norm, epsilon, name) for name in attacks),
                f"{number(row['robust_by_norm'][norm][epsilon])} "
                f"({between(row['interval']['robust_by_norm'][norm][epsilon])})",
            )
            for row in numbers["rows"]
            for norm, held in row["by_attack"].items()
            for epsilon in held
        ),
        note="Attacks are made in this order, each on what those before it left. In brackets 95 % intervals.",
    )


def _left(row: Numbers, norm: str, epsilon: str, attack: str) -> str:
    found, interval = row["by_attack"][norm][epsilon], row["by_attack_interval"][norm][epsilon]
    return f"{number(found[attack])} ({between(interval[attack])})" if attack in found else number(None)


def corruptions_table(numbers: Numbers) -> Table | None:
    """Accuracy under each common corruption; None where none was looked at."""
    rows = [row for row in numbers["rows"] if row["corruptions"]]
    if not rows:
        return None
    first = rows[0]["corruptions"]

    def means(row: Numbers) -> list[float]:
        return [sum(held.values()) / len(held) for held in row["corruptions"].values()]

    return Table(
        title="Under common corruptions, %",
        columns=("trained on", *(name.replace("_", " ") for name in first), "mean"),
        rows=tuple((row["name"], *map(number, means(row)), number(sum(means(row)) / len(means(row)))) for row in rows),
        note=f"Means over severities {', '.join(next(iter(first.values())))} of 5, which are this project's own.",
    )


def choices_table(numbers: Numbers) -> Table | None:
    """Learning rates that were tried, and what each scored on held-out images; None where nothing was chosen."""
    rows = [
        (
            row["name"],
            str(one["seed"]),
            f"{candidate['learning_rate']:g}",
            number(100 * candidate["score"]),
            "yes" if candidate["stuck_at_chance"] else "no",
            "kept" if candidate["learning_rate"] == one["training"]["learning_rate"] else "",
        )
        for row in numbers["rows"]
        for one in row["per_seed"]
        for candidate in one["training"].get("choice", ())
    ]
    return (
        Table(
            title="Learning rates, chosen on held-out training images",
            columns=("trained on", "seed", "learning rate", "held-out images read right, %", "stuck at chance", ""),
            rows=tuple(rows),
            note="Images as they were before the construction, with their own labels. No test image was looked at.",
        )
        if rows
        else None
    )


def reattack_table(numbers: Numbers) -> Table | None:
    """What fast and exact attacks left of the same images; None where attacks searched in fp32."""
    rows = [row for row in numbers["rows"] if row["reattack"]]
    if not rows:
        return None
    return Table(
        title="The same images attacked in reduced precision (fast) and in fp32 (exact): robust accuracy, %",
        columns=("trained on", "within", "images", "fast", "exact", "fast weaker by"),
        rows=tuple(
            (
                row["name"],
                f"{norm} {epsilon}",
                str(one["n_images"]),
                number(one["fast"]),
                number(one["exact"]),
                number(one["weaker_by"], 2),
            )
            for row in rows
            for norm, held in row["reattack"].items()
            for epsilon, one in held.items()
        ),
        note="More than 0.3 is spoken of at the top of this report.",
    )


def _made(made: Numbers) -> tuple[str, ...]:
    return made["name"], made["source"], str(made["n_images"]), _distribution(made["norm"])


def _distribution(values: Numbers) -> str:
    return f"{values['mean']:.3g} ({values['p5']:.3g} – {values['p95']:.3g})"
