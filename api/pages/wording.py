"""Times, sizes and figures for people."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from core.figures import row_label
from core.wording import said_once


def span(seconds: float | None) -> str:
    """A stretch of time, such as `5 min`."""
    if seconds is None:
        return "–"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{max(seconds, 0):.0f} s"


def size(count: float | None) -> str:
    """Bytes, in the largest unit that fits."""
    if count is None:
        return "–"
    for unit, one in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= one:
            return f"{count / one:.{1 if count < 10 * one else 0}f} {unit}"
    return f"{count:.0f} B"


def when(moment: datetime | None) -> Markup:
    """A moment: the browser shows it in its own time zone, and how long ago it was."""
    if moment is None:
        return Markup("–")
    moment = moment.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        moment.isoformat(timespec="seconds"), moment.strftime("%Y-%m-%d %H:%M")
    )


def figure(value: Any, digits: int = 4) -> str:
    """A number for people; what is no finite number is said."""
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
    return f"{value:.{digits}g}"


def indexed(text: str) -> Markup:
    """Text with the names of rows in it, such as `D_rand`, set as a letter with an index."""
    return Markup(re.sub(r"\bD_[A-Za-z_]+", lambda found: row_label(found[0]), str(escape(text))))  # noqa: S704


def linked(text: str) -> Markup:
    """Text with the ids of jobs in it short, and leading there."""
    escaped = str(escape(text))
    return Markup(re.sub(r"job_[0-9a-z]+", lambda id: f'<a href="jobs/{id[0]}">{short(id[0])}</a>', escaped))  # noqa: S704


def written(value: Any) -> str:
    """A value of a spec, as JSON; a dash for none."""
    return "–" if value == "–" else json.dumps(value, ensure_ascii=False)


def short(id: str) -> str:
    """The end of an id, which tells it from its neighbours: ids begin with their time."""
    return id if len(id) < 16 else id[:4] + "…" + id[-7:]


FILTERS: dict[str, Callable[..., Any]] = {
    "span": span,
    "size": size,
    "when": when,
    "figure": figure,
    "indexed": indexed,
    "linked": linked,
    "written": written,
    "short": short,
    "said_once": said_once,
}
