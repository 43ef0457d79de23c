"""A table that fits the terminal: long cells give way first, then whole columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

_CUT = frozenset({"name", "node", "progress", "what", "architecture", "owner", "kind"})
"""Columns whose cells may end in an ellipsis."""
_FOLDED = frozenset({"why", "reason", "others"})
"""Columns of sentences, which go on in the next line."""
_LEAST = 8
_LEAST_FOLDED = 24
_GAP = 2


def fitted(columns: Sequence[str], rows: Sequence[Sequence[Text]], width: int, spare: Sequence[str] = ()) -> Table:
    """The rows as a table of at most `width` characters, if need be without the columns in `spare`, in their order."""
    natural = {
        column: max(len(column), *(_width(row[at]) for row in rows)) if rows else len(column)
        for at, column in enumerate(columns)
    }
    least = {column: min(wide, _least(column, wide)) for column, wide in natural.items()}
    kept = list(columns)
    for column in spare:
        if _total(least, kept) <= width:
            break
        if column in kept:
            kept.remove(column)
    widths = _shared(natural, least, kept, width)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _GAP, 0, 0))
    for column in kept:
        folds = column in _FOLDED or least[column] > widths[column]
        table.add_column(column, width=widths[column], no_wrap=not folds, overflow="fold" if folds else "ellipsis")
    for row in rows:
        table.add_row(*(row[columns.index(column)] for column in kept))
    return table


def _width(cell: Text) -> int:
    return max((len(line) for line in cell.plain.splitlines()), default=0)


def _least(column: str, wide: int) -> int:
    return _LEAST if column in _CUT else _LEAST_FOLDED if column in _FOLDED else wide


def _total(widths: dict[str, int], kept: Sequence[str]) -> int:
    return sum(widths[column] for column in kept) + _GAP * (len(kept) - 1)


def _shared(natural: dict[str, int], least: dict[str, int], kept: Sequence[str], width: int) -> dict[str, int]:
    """What is left over the least widths is given to those that want more, the smallest wish first."""
    widths = {column: least[column] for column in kept}
    left = width - _total(widths, kept)
    wishes = sorted((column for column in kept if natural[column] > least[column]), key=lambda c: natural[c])
    for at, column in enumerate(wishes):
        more = max(0, min(natural[column] - least[column], left // (len(wishes) - at)))
        widths[column] += more
        left -= more
    if left < 0 and kept:  # even the least is too much: the first column folds
        widths[kept[0]] = max(_LEAST, widths[kept[0]] + left)
    return widths
