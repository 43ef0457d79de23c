"""Making something again: the same spec once more, and what of hash, figures and surroundings came out other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sieve.errors import SieveError

if TYPE_CHECKING:
    from sieve.client import Client
    from sieve.job import Job

TIMED = frozenset({"seconds"})
"""Figures that differ from run to run."""


class NothingToReproduce(SieveError):
    """No job made it."""


@dataclass(frozen=True)
class Difference:
    """A figure, or something of the surroundings, that is other now."""

    name: str
    """Path of the figure, such as `norm/mean`; or what it is of the surroundings, such as `software/torch`."""
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name}: {self.before} -> {self.now}"


@dataclass(frozen=True)
class Reproduction:
    """How making something again came out."""

    original: str
    """`ds_…` or `mdl_…`."""
    again: str
    job: str
    """That made it again."""
    sha256: tuple[str, str]
    """Of both files."""
    figures: tuple[Difference, ...]
    """Figures that differ, times left out."""
    surroundings: tuple[Difference, ...]
    """What it was made with and on, where that is other."""

    @property
    def identical(self) -> bool:
        """Are the files the same to the last bit?"""
        return self.sha256[0] == self.sha256[1]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **{name: getattr(self, name) for name in ("original", "again", "job", "sha256", "identical")},
            "figures": [vars(difference) for difference in self.figures],
            "surroundings": [vars(difference) for difference in self.surroundings],
        }


def begin(client: Client, made: str) -> Job:
    """Submit the job that made a dataset or model once more: the same spec, and so the same inputs.

    Raises:
        NothingToReproduce: no job made it.
        Refused: something that it was made of is gone.
    """
    record: Any = client.model(made) if made.startswith("mdl_") else client.dataset(made)
    if record.job is None:
        raise NothingToReproduce(f"{made} was made by no job: there is nothing to reproduce")
    return client.submit(client.job(record.job).spec, name=f"{made} again", labels={"reproduces": record.id})


def compare(client: Client, made: str, job: Job) -> Reproduction:
    """Hold what `job`, which has succeeded, made of the spec of `made` against it."""
    what = "model" if made.startswith("mdl_") else "dataset"
    before, after = (_described(client, what, id) for id in (made, job.outputs[what]))
    figures = tuple(_differences(client.job(before["job"]).result, job.result, TIMED))
    was, now = ({name: one["provenance"][name] for name in ("software", "hardware")} for one in (before, after))
    return Reproduction(
        original=before["id"],
        again=after["id"],
        job=job.id,
        sha256=(before["sha256"], after["sha256"]),
        figures=figures,
        surroundings=tuple(_differences(was, now, frozenset())),
    )


def _described(client: Client, what: str, id_: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.transport.json("GET", f"/v1/{what}s/{id_}")
    return answer


def _differences(before: Any, now: Any, left_out: frozenset[str], path: str = "") -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in [*before, *(name for name in now if name not in before)]:
            if name not in left_out:
                under = f"{path}/{name}" if path else name
                yield from _differences(before.get(name), now.get(name), left_out, under)
    elif before != now and not (_nan(before) and _nan(now)):
        yield Difference(path, before, now)


def _nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
