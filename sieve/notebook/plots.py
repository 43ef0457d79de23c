"""Small plots as SVG: lines over a shared axis, and groups of bars. Text takes the page's colour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

PALETTE = ("#7c8086", "#3f7fbf", "#1f9a8c", "#cf7d1e", "#cc4b5c", "#8d66c4", "#7c8086", "#4f9e3c")
DASHES = ("", "", "", "", "", "6 4", "2 3", "")
WIDTH, HEIGHT = 460, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 12, 38
_LEGEND = 18


@dataclass(frozen=True)
class Line:
    """Points in order, from left to right; those that are no numbers are left out."""

    name: str
    points: Sequence[tuple[float, float]]


def lines(series: Sequence[Line], *, x: str, y: str, y_range: tuple[float, float] | None = None) -> str:
    """Lines with a legend below; nothing where there are no points."""
    kept = [Line(line.name, [point for point in line.points if all(map(math.isfinite, point))]) for line in series]
    kept = [line for line in kept if line.points]
    if not kept:
        return ""
    everywhere = [point for line in kept for point in line.points]
    x_low, x_high = min(p[0] for p in everywhere), max(p[0] for p in everywhere)
    y_low, y_high = y_range or (min(0.0, *(p[1] for p in everywhere)), max(p[1] for p in everywhere))
    frame = _Frame((x_low, x_high if x_high > x_low else x_low + 1), (y_low, y_high if y_high > y_low else y_low + 1))
    drawn = [_axes(frame, _ticks(*frame.x), _ticks(*frame.y), x, y)]
    for at, line in enumerate(kept):
        path = " ".join(f"{frame.across(px):.1f},{frame.down(py):.1f}" for px, py in line.points)
        style = f'stroke="{PALETTE[at % 8]}" stroke-dasharray="{DASHES[at % 8]}"'
        drawn.append(f'<polyline points="{path}" fill="none" stroke-width="2" {style}/>')
        if len(line.points) <= 12:
            drawn += [
                f'<circle cx="{frame.across(px):.1f}" cy="{frame.down(py):.1f}" r="3" fill="{PALETTE[at % 8]}">'
                f"<title>{escape(line.name)}: {px:g}, {py:.1f}</title></circle>"
                for px, py in line.points
            ]
    return _svg(drawn, [line.name for line in kept], f"{y} against {x}")


def bars(groups: Mapping[str, Sequence[float | None]], names: Sequence[str], *, y: str) -> str:
    """A group of bars (percent) for each key, one bar a name; nothing where there are no groups."""
    if not groups:
        return ""
    frame = _Frame((0, len(groups)), (0, 100))
    drawn = [_axes(frame, [], _ticks(0, 100), "", y)]
    wide = (frame.across(1) - frame.across(0)) * 0.7 / len(names)
    for at, (group, values) in enumerate(groups.items()):
        left = frame.across(at + 0.15)
        for one, value in enumerate(values):
            if value is None:
                continue
            top, x = frame.down(value), left + one * wide
            said = f"<title>{escape(group)}, {escape(names[one])}: {value:.1f} %</title>"
            height = frame.down(0) - top
            shape = f'x="{x:.1f}" y="{top:.1f}" width="{wide - 2:.1f}" height="{height:.1f}"'
            drawn.append(f'<rect {shape} rx="2" fill="{PALETTE[one % 8]}">{said}</rect>')
            drawn.append(f'<text x="{x + wide / 2:.1f}" y="{top - 3:.1f}" text-anchor="middle">{value:.0f}</text>')
        middle = frame.across(at + 0.5)
        drawn.append(f'<text x="{middle:.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{escape(group)}</text>')
    return _svg(drawn, names, y)


@dataclass(frozen=True)
class _Frame:
    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, value: float) -> float:
        low, high = self.x
        return _LEFT + (value - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    def down(self, value: float) -> float:
        low, high = self.y
        return _TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM)


def _axes(frame: _Frame, across: Sequence[float], down: Sequence[float], x: str, y: str) -> str:
    drawn = []
    for tick in down:
        at = frame.down(tick)
        drawn.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#8884"/>')
        drawn.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in across:
        at = frame.across(tick)
        drawn.append(f'<text x="{at:.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    drawn.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle" opacity=".7">{escape(x)}</text>')
    turned = f'transform="translate(11 {(_TOP + HEIGHT - _BOTTOM) / 2}) rotate(-90)"'
    drawn.append(f'<text {turned} text-anchor="middle" opacity=".7">{escape(y)}</text>')
    return "".join(drawn)


def _svg(drawn: Sequence[str], names: Sequence[str], said: str) -> str:
    """The drawing, and a legend in rows of four."""
    legend = []
    for at, name in enumerate(names):
        left, top = _LEFT + (at % 4) * 105, HEIGHT + 12 + _LEGEND * (at // 4)
        style = f'stroke="{PALETTE[at % 8]}" stroke-dasharray="{DASHES[at % 8]}" stroke-width="3"'
        legend.append(f'<line x1="{left}" x2="{left + 18}" y1="{top}" y2="{top}" {style}/>')
        legend.append(f'<text x="{left + 23}" y="{top + 4}">{escape(name)}</text>')
    height = HEIGHT + 6 + _LEGEND * math.ceil(len(names) / 4)
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
    inside = "".join([*drawn, *legend])
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(said)}" {size}>{inside}</svg>'


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers within."""
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(step * k, 10) + 0.0 for k in range(first, math.floor(high / step + 1e-9) + 1)]
