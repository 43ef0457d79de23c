"""HTML that stands on light and on dark notebooks: text keeps the notebook's colour, lines are thin shades of it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

COLOURS = {
    "blocked": "#8a8f98",
    "queued": "#2a9db0",
    "running": "#3f7fbf",
    "paused": "#b98a12",
    "succeeded": "#2f9957",
    "failed": "#cc4b5c",
    "cancelled": "#9a5fb5",
    "skipped": "#b0707a",
}
"""Of a job's states; middling, so that they can be read on white and on black."""

STYLE = """<style>
.sieve{font:13px/1.45 system-ui,sans-serif;max-width:56em;border:1px solid #8885;border-radius:8px;padding:.8em 1em}
.sieve .head{display:flex;flex-wrap:wrap;gap:.3em .8em;align-items:baseline}
.sieve .what{font-weight:600;font-size:15px}
.sieve code{font-size:12px;opacity:.75;background:none;color:inherit;padding:0}
.sieve .state{color:#fff;border-radius:9px;padding:0 .6em;font-size:12px}
.sieve .bar{height:8px;border-radius:4px;background:#8883;margin:.5em 0 .2em;overflow:hidden}
.sieve .bar i{display:block;height:100%;border-radius:4px}
.sieve .small{font-size:12px;opacity:.75}
.sieve .why{margin:.4em 0 0}
.sieve .parts{display:grid;grid-template-columns:repeat(auto-fill,minmax(11.5em,1fr));gap:.15em 1em;margin-top:.6em}
.sieve .parts span{white-space:nowrap;overflow:hidden;text-overflow:ellipsis;font-size:12px}
.sieve .dot{display:inline-block;width:8px;height:8px;border-radius:50%;margin-right:.5em}
.sieve table{border-collapse:collapse;margin:.7em 0 0;font-size:13px}
.sieve th,.sieve td{padding:.15em .9em .15em 0;text-align:right;background:none;border:0}
.sieve th:first-child,.sieve td:first-child{text-align:left}
.sieve thead th{border-bottom:1px solid #8885;font-weight:600}
.sieve dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em;margin:.6em 0 0}
.sieve dt{opacity:.7}
.sieve dd{margin:0}
.sieve img{display:block;max-width:100%;margin-top:.7em;border-radius:4px;image-rendering:auto}
.sieve svg{display:block;max-width:100%;height:auto;margin-top:.7em}
.sieve svg text{fill:currentColor;font:12px system-ui,sans-serif}
.sieve .plots{display:flex;flex-wrap:wrap;gap:0 1.5em}
.sieve .plots>div{flex:1 1 22em;min-width:0}
</style>"""


def box(*parts: str) -> str:
    """One object, in a frame."""
    return f'{STYLE}<div class="sieve">{"".join(parts)}</div>'


def heading(what: str, id_: str, state: str | None = None) -> str:
    """A name, an id, and a state in its colour."""
    chip = ""
    if state is not None:
        chip = f'<span class="state" style="background:{COLOURS.get(state, "#8a8f98")}">{escape(state)}</span>'
    return f'<div class="head"><span class="what">{escape(what)}</span>{chip}<code>{escape(id_)}</code></div>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values; what is None or empty is left out."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs if value not in (None, "")
    )
    return f"<dl>{rows}</dl>" if rows else ""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column names the row."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def small(text: str) -> str:
    """A remark."""
    return f'<div class="small">{escape(text)}</div>'


def png(data: bytes, said: str) -> str:
    """A picture, inside the page."""
    return f'<img alt="{escape(said)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def percent(fraction: object) -> str:
    """A fraction as percent; a dash where there is no number."""
    return f"{100 * fraction:.1f}" if isinstance(fraction, int | float) else "–"


def number(value: object) -> str:
    """A number of percent; a dash where there is none."""
    return f"{value:.1f}" if isinstance(value, int | float) else "–"
