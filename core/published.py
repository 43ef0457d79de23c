"""Published figures of the study, percent, and how surely each is known.

Ilyas, Santurkar, Tsipras, Engstrom, Tran, Madry, "Adversarial Examples Are Not Bugs, They Are Features" (2019):
CIFAR-10, ResNet-50. They stand beside a report for orientation. They are never a pass mark, and on any data but
CIFAR-10 they are not comparable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SETTING = "CIFAR-10, ResNet-50"
SOURCES = (
    "Ilyas et al., arXiv 1905.02175",
    "the authors' repositories MadryLab/constructed-datasets and MadryLab/robustness",
)
CERTAINTY = {
    "read": "read in a public source",
    "memory": "from memory, not checked against the paper's text",
}


@dataclass(frozen=True)
class Published:
    """One published figure, in percent; a range where sources differ."""

    low: float
    high: float
    certainty: Literal["read", "memory"]


@dataclass(frozen=True)
class PublishedRow:
    """One row of the published table."""

    name: str
    standard: Published
    robust: dict[str, Published] = field(default_factory=dict)
    """By l2 epsilon, written as in reports."""


def _read(low: float, high: float | None = None) -> Published:
    return Published(low, low if high is None else high, "read")


def _memory(low: float, high: float | None = None) -> Published:
    return Published(low, low if high is None else high, "memory")


ROWS = (
    PublishedRow("D", _read(95.25), {"0.25": _read(4.49), "0.5": _memory(0)}),
    PublishedRow("D_adv", _read(90.83), {"0.25": _read(82.3, 82.5), "0.5": _read(70.2)}),
    PublishedRow("D_R", _read(84), {"0.25": _read(48), "0.5": _memory(22, 29)}),
    PublishedRow("D_NR", _read(88), {"0.25": _read(0.8), "0.5": _memory(0)}),
    PublishedRow("D_rand", _read(63.3), {"0.25": _read(0)}),
    PublishedRow("D_det", _read(43.7), {"0.25": _read(0)}),
)


def heading(dataset: str) -> str:
    """What stands above the published table, beside a study on `dataset`."""
    return SETTING if dataset == "cifar10" else f"{SETTING}; not comparable"


def published(dataset: str) -> dict[str, Any]:
    """The published table as JSON values, for a study on `dataset`."""

    def values(figure: Published) -> dict[str, Any]:
        return {"low": figure.low, "high": figure.high, "certainty": figure.certainty}

    return {
        "heading": heading(dataset),
        "comparable": dataset == "cifar10",
        "sources": list(SOURCES),
        "certainty": CERTAINTY,
        "norm": "l2",
        "rows": [
            {
                "name": row.name,
                "standard": values(row.standard),
                "robust": {epsilon: values(figure) for epsilon, figure in row.robust.items()},
            }
            for row in ROWS
        ],
    }
