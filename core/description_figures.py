"""A description's plots and tables, from its numbers alone: what the report draws, pages and clients can draw too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.figures import Figure, empty
from core.tables import Table, between, number

Numbers = Mapping[str, Any]

_COLOURS = {"dataset": "#3f7fbf", "source": "#7c8086", "change": "#cc4b5c"}
_CHANNELS = {1: ("#7c8086",), 3: ("#cc4b5c", "#1f9a8c", "#3f7fbf")}
_CHANNEL_NAMES = {1: ("grey",), 3: ("red", "green", "blue")}


def plots(numbers: Numbers) -> dict[str, list[Figure]]:
    """Figures by section: `balance`, `pixels`, `spectrum`, `moved`, `neighbours`; a section may be empty.

    Args:
        numbers: see `core.description.describe`.
    """
    moved, near = numbers["moved"] or {}, numbers["neighbours"]
    lengths = [
        ("start_l2", "How far the images were moved", "From the image that each started at.", "l2 norm"),
        ("start_linf", "The largest change of a pixel", "From the image that each started at.", "linf norm"),
        ("source_l2", "Distance to the image that each stands for", "The one whose label it bears.", "l2 norm"),
        ("features", "How well the features were matched", "Relative to the features asked for.", "relative distance"),
    ]
    drawn = [_lengths({"dataset": moved[key]}, *said) for key, *said in lengths if key in moved]
    neighbours = []
    if near is not None:
        held = {"dataset": near["distance"], "source": near["within_source"]}
        caption = "Beside it: from the source's own images to their nearest others."
        neighbours.append(_lengths(held, "Distance to the nearest image of the source", caption, "l2 distance"))
    return {
        "balance": [balance_bars(numbers["classes"], numbers["balance"]["counts"])],
        "pixels": [pixel_curves(numbers["pixels"][of]["histogram"], of) for of in numbers["pixels"]],
        "spectrum": [spectrum_curves(numbers["spectrum"])],
        "moved": drawn,
        "neighbours": neighbours,
    }


def balance_bars(classes: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Figure:
    """Images of each class, a bar a split.

    Args:
        counts: by split, one a class.
    """
    plot = empty("", "images", y_range=None)
    plot.update_layout(barmode="group", bargap=0.3, xaxis={"type": "category", "showgrid": False})
    for split, colour in zip(counts, ("#3f7fbf", "#7c8086"), strict=False):
        plot.add_bar(x=list(classes), y=list(counts[split]), name=split, marker={"color": colour})
    rows = [(name, *(str(counts[split][at]) for split in counts)) for at, name in enumerate(classes)]
    table = Table("Images of each class", ("class", *counts), tuple(rows))
    return Figure("Images of each class", "By the stored labels.", plot, table)


def pixel_curves(histogram: Numbers, of: str) -> Figure:
    """How often each value is taken, a line a channel.

    Args:
        histogram: `edges` [k + 1], `counts` [C][k].
        of: `dataset` or `source`.
    """
    plot = empty("pixel value", "share of the pixels, %", y_range=None)
    edges, counts = list(histogram["edges"]), histogram["counts"]
    names = _CHANNEL_NAMES.get(len(counts), tuple(f"channel {at}" for at in range(len(counts))))
    colours = _CHANNELS.get(len(counts), ("#7c8086",) * len(counts))
    rows = []
    for name, colour, channel in zip(names, colours, counts, strict=True):
        shares = [round(100 * count / sum(channel), 4) for count in channel]
        line = {"color": colour, "shape": "hv", "width": 1.5}
        plot.add_scatter(x=edges, y=[*shares, shares[-1]], name=name, mode="lines", line=line)
        rows += [
            (name, f"{low:.3f} – {high:.3f}", f"{share:.2f}")
            for low, high, share in zip(edges, edges[1:], shares, strict=False)
        ]
    title = "Pixel values" if of == "dataset" else f"Pixel values of the {of}"
    return Figure(title, "Of the training images.", plot, Table(title, ("channel", "value", "%"), tuple(rows)))


def spectrum_curves(spectra: Mapping[str, Sequence[float]]) -> Figure:
    """Power against spatial frequency; of a constructed dataset also that of what was added.

    Args:
        spectra: by `dataset`, `source`, `change`: see `core.pixels.spectrum`.
    """
    plot = empty("cycles an image", "mean power", y_range=None)
    plot.update_yaxes(type="log", rangemode="normal", exponentformat="power")
    rows = []
    for of, powers in spectra.items():
        shown = [(k, power) for k, power in enumerate(powers) if k and power > 0]  # each image's own mean is taken out
        name = "what was added" if of == "change" else of
        style = {"color": _COLOURS[of], "width": 2.25}
        plot.add_scatter(x=[k for k, _ in shown], y=[p for _, p in shown], name=name, mode="lines+markers", line=style)
        rows += [(name, str(k), f"{power:.4g}") for k, power in shown]
    caption = "Of images less their own means, averaged over images, channels and directions."
    table = Table("Power spectrum", ("of", "cycles an image", "mean power"), tuple(rows))
    return Figure("Power spectrum", caption, plot, table)


def _lengths(held: Mapping[str, Numbers], title: str, caption: str, quantity: str) -> Figure:
    """Histograms of lengths, as densities, since bins may differ in width.

    Args:
        held: by `dataset` or `source`, with `histogram`: `edges` [k + 1], `counts` [k].
    """
    plot = empty(quantity, "density", y_range=None)
    rows = []
    for of, told in held.items():
        edges, counts = list(told["histogram"]["edges"]), list(told["histogram"]["counts"])
        bins = list(zip(edges, edges[1:], counts, strict=False))
        densities = [round(count / sum(counts) / (high - low), 6) for low, high, count in bins]
        line = {"color": _COLOURS[of], "shape": "hv", "width": 1.5}
        plot.add_scatter(
            x=[edges[0], *edges], y=[0, *densities, 0], name=of, mode="lines", line=line, fill="tozeroy", opacity=0.9
        )
        rows += [(of, f"{low:.4g} – {high:.4g}", str(count)) for low, high, count in bins if count]
    return Figure(title, caption, plot, Table(title, ("of", quantity, "images"), tuple(rows)))


def tables(numbers: Numbers) -> dict[str, Table | None]:
    """By section: `pixels`, `moved`, `neighbours`, `readings`, `rounding`, `trial`; None where there is nothing."""
    return {
        "pixels": _pixel_table(numbers["pixels"]),
        "moved": _moved_table(numbers["moved"]),
        "neighbours": _neighbour_table(numbers["neighbours"]),
        "readings": _reading_table(numbers["readings"]),
        "rounding": _rounding_table(numbers["rounding"]["effect"]),
        "trial": _trial_table(numbers["rounding"]["trial"]),
    }


def _percent(share: float | None, digits: int = 1) -> str:
    return number(None if share is None else 100 * share, digits)


def _each(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _pixel_table(pixels: Numbers) -> Table:
    asked = ("mean", "std", "min", "max")
    rows = [(name, *(_each(told[name]) for told in pixels.values())) for name in asked]
    shares = {"at_zero": "% exactly 0", "at_one": "% exactly 1", "eight_bits": "% multiples of 1/255"}
    rows += [(said, *(_percent(told[name]) for told in pixels.values())) for name, said in shares.items()]
    return Table("Pixel values, a figure a channel", ("", *pixels), tuple(rows))


def _spread(told: Numbers) -> tuple[str, ...]:
    return tuple(f"{told[name]:.3f}" for name in ("mean", "p5", "p50", "p95"))


def _moved_table(moved: Numbers | None) -> Table | None:
    if moved is None:
        return None
    said = {
        "start_l2": "l2 from its start",
        "start_linf": "linf from its start",
        "source_l2": "l2 from the image it stands for",
        "features": "relative feature distance",
    }
    rows = [(label, *_spread(moved[name])) for name, label in said.items() if name in moved]
    columns = ("", "mean", "5 %", "median", "95 %")
    return Table("How far the images are from those they were made of", columns, tuple(rows))


def _neighbour_table(near: Numbers | None) -> Table | None:
    if near is None:
        return None
    rows = [
        ("mean l2 distance to the nearest", f"{near['distance']['mean']:.3f}"),
        ("the same within the source, itself left out", f"{near['within_source']['mean']:.3f}"),
    ]
    shares = {
        "identical": "% that are in the source, to the bit",
        "has_stored_label": "% whose nearest has the stored label",
        "has_original_label": "% whose nearest has the original label",
        "is_its_start": "% whose nearest is the image it started from",
        "is_its_source": "% whose nearest is the image it stands for",
    }
    rows += [(said, _percent(near[name])) for name, said in shares.items() if name in near]
    return Table(f"Nearest training images of the source, for {near['images']} images", ("", "figure"), tuple(rows))


def _reading_table(readings: Sequence[Numbers]) -> Table | None:
    if not readings:
        return None
    asked = ("stored", "stored_where_changed", "original_where_changed")

    def cell(told: Numbers) -> str:
        if told["fraction"] is None:
            return "–"
        return f"{_percent(told['fraction'])} ({between([100 * end for end in told['interval']])})"

    rows = [(reading["name"], *(cell(reading[name]) for name in asked)) for reading in readings]
    columns = ("read by", "stored label", "where it was changed", "original label there")
    note = "In brackets: 95 % intervals (Wilson)."
    return Table("Who reads the labels? %", columns, tuple(rows), note)


def _rounding_table(effect: Numbers | None) -> Table | None:
    if effect is None:
        return None
    reads = effect["source_reads_label"]
    rows = (
        ("largest change of a pixel", f"{effect['largest']:.5f}", ""),
        ("mean l2 of the rounding of an image", f"{effect['l2']['mean']:.4f}", ""),
        ("mean norm of the perturbations", *(f"{effect['norm'][form]['mean']:.4f}" for form in ("exact", "rounded"))),
        ("% whose stored label the source model reads", _percent(reads["exact"]), _percent(reads["rounded"])),
    )
    return Table("What rounding to 8 bits does to the images", ("", "exact", "rounded"), rows)


def _trial_table(trial: Numbers | None) -> Table | None:
    if trial is None:
        return None
    names = ("exact", "rounded", "agree")
    rows = [(str(pair["seed"]), *(_percent(pair[name]) for name in names)) for pair in trial["pairs"]]
    mean, half = trial["difference"]["mean"], trial["difference"]["half"]
    note = f"Judged on {trial['images']} test images. Rounded less exact: {100 * mean:+.2f} points"
    note += "." if half is None else f", 95 % interval ± {100 * half:.2f} (Student's t over {len(rows)} pairs)."
    columns = ("seed", "trained on exact images", "on rounded ones", "both read the same")
    return Table("What rounding to 8 bits does to a model trained on them: accuracy, %", columns, tuple(rows), note)
