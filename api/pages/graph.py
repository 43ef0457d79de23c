"""A study's graph of jobs, drawn as SVG on the server: what needs what, from left to right, and how each stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from api.schemas import Child
from store.lifecycle import State

WIDTH, HEIGHT = 148, 40
"""Of a box."""
GAP_X, GAP_Y = 46, 12
MARGIN = 6

_SHOWN_FIRST = (State.FAILED, State.RUNNING, State.PAUSED, State.QUEUED, State.BLOCKED, State.CANCELLED, State.SKIPPED)


@dataclass(frozen=True)
class Box:
    """A job, or the same job of every seed."""

    name: str
    """Of the row, such as `D_adv`."""
    role: str
    """Such as `train`."""
    state: str
    note: str
    """How far, or how many seeds."""
    job: str
    """Where its link leads: the job, or of several the one that tells most."""
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """Boxes, and the curves between them."""

    boxes: tuple[Box, ...]
    lines: tuple[str, ...]
    """Paths."""
    width: float
    height: float


def drawing(children: Sequence[Child], needs: Iterable[tuple[str, str]]) -> Drawing:
    """Seeds lie on top of each other: a box stands for the same job of every seed."""
    groups: dict[tuple[str, str], list[Child]] = {}
    place: dict[str, tuple[str, str]] = {}
    for child in children:
        place[child.id] = _place(child)
        groups.setdefault(place[child.id], []).append(child)
    edges = {(place[to], place[of]) for to, of in needs if to in place and of in place}
    layers = _layers(groups, edges)
    # Who is needed by the report alone may stand further left, but not beyond what it needs itself.
    columns: dict[int, list[tuple[str, str]]] = {}
    for group in groups:
        columns.setdefault(layers[group], []).append(group)
    tallest = max((len(column) for column in columns.values()), default=0)
    height = tallest * (HEIGHT + GAP_Y) - GAP_Y
    at: dict[tuple[str, str], tuple[float, float]] = {}
    for layer, column in columns.items():
        own = len(column) * (HEIGHT + GAP_Y) - GAP_Y
        for row, group in enumerate(column):
            y = MARGIN + (height - own) / 2 + row * (HEIGHT + GAP_Y)
            at[group] = (MARGIN + layer * (WIDTH + GAP_X), y)
    direct = {(to, of) for to, of in edges if not _around(to, of, edges)}
    return Drawing(
        boxes=tuple(_box(group, held, *at[group]) for group, held in groups.items()),
        lines=tuple(_curve(at[of], at[to]) for to, of in sorted(direct)),
        width=2 * MARGIN + max(layers.values(), default=0) * (WIDTH + GAP_X) + WIDTH,
        height=2 * MARGIN + height,
    )


def _place(child: Child) -> tuple[str, str]:
    """Role and row; the report has none."""
    parts = (child.node or child.kind).split("/")
    return (parts[-2], parts[-1]) if len(parts) > 1 else (child.kind, parts[0])


def _layers(
    groups: Iterable[tuple[str, str]], edges: set[tuple[tuple[str, str], tuple[str, str]]]
) -> dict[tuple[str, str], int]:
    """How many jobs lie before each at the longest; children come in the order of the graph."""
    layers: dict[tuple[str, str], int] = {}
    for group in groups:
        layers[group] = max((layers.get(of, -1) for to, of in edges if to == group), default=-1) + 1
    return layers


def _around(to: tuple[str, str], of: tuple[str, str], edges: set[tuple[tuple[str, str], tuple[str, str]]]) -> bool:
    """Does the need follow from another one, so that no line has to say it?"""
    ahead = [middle for middle, source in edges if source == of and middle != to]
    seen = set(ahead)
    while ahead:
        here = ahead.pop()
        if (to, here) in edges:
            return True
        further = {middle for middle, source in edges if source == here} - seen
        seen |= further
        ahead += further
    return False


def _box(group: tuple[str, str], held: Sequence[Child], x: float, y: float) -> Box:
    states = Counter(child.state for child in held)
    state = next((state for state in _SHOWN_FIRST if states[state]), State.SUCCEEDED)
    shown = next(child for child in held if child.state == state)
    done = states[State.SUCCEEDED]
    if len(held) > 1:
        note = f"{done} of {len(held)} seeds"
    elif state == State.RUNNING and shown.progress and shown.progress.total:
        note = f"{100 * shown.progress.step // shown.progress.total} %"
    else:
        note = {State.SUCCEEDED: "done", State.BLOCKED: "waits"}.get(state, str(state))
    return Box(name=group[1], role=group[0], state=state, note=note, job=shown.id, x=x, y=y)


def _curve(of: tuple[float, float], to: tuple[float, float]) -> str:
    x1, y1 = of[0] + WIDTH, of[1] + HEIGHT / 2
    x2, y2 = to[0], to[1] + HEIGHT / 2
    bend = (x2 - x1) / 2 if x2 - x1 < 2 * GAP_X else GAP_X
    return f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
