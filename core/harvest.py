"""Work in blocks: shared out among jobs, kept as it is done, put together again.

What blocks gave is kept in their order. A checkpoint holds only what is new since the one before, so that each costs
the same, however long the work is. A share of the blocks is left as a file; all shares' files are one another's
continuation, and together hold exactly what the undivided work would have found.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from core.context import Checkpoint, Context, Output, Part, Result
from core.memory import AtOnce
from core.tensorfile import read_tensors, write_tensors

_HAND = "hand/"


@dataclass(frozen=True)
class Share:
    """Share number `index` of `of` nearly equal ones."""

    index: int = 0
    of: int = 1

    def among(self, n: int) -> range:
        """Which of `n` blocks belong to it: consecutive ones, none where there are more shares than blocks."""
        return range(n * self.index // self.of, n * (self.index + 1) // self.of)


WHOLE = Share()


@dataclass(frozen=True)
class Gathered:
    """What the blocks of a share, or all of them, gave."""

    columns: dict[str, Tensor]
    """By name, each [n, ...], in the order of the blocks."""
    at_once: AtOnce
    seconds: float
    """Time that it took; of several shares, all of theirs."""

    def left(self, context: Context) -> Result:
        """It as the file and the figures of a share's job."""
        path = context.scratch / "part.safetensors"
        write_tensors(path, self.columns, {"format": "part", "version": 1})
        figures = {"at_once": self.at_once.figures(), "seconds": self.seconds}
        return Result(figures, (Output(path.name, path, "data", "application/octet-stream"),))


def gathered(shares: Sequence[Part]) -> Gathered:
    """What the jobs of all shares left, in order, put together.

    Raises:
        DamagedFile: a file cannot be read.
    """
    began = time.monotonic()
    columns = joined([read_tensors(share.path)[0] for share in shares])
    counts = [share.figures["at_once"] for share in shares]
    at_once = AtOnce(max(count["planned"] for count in counts))
    at_once.images = min(count["used"] for count in counts)
    spent = sum(share.figures["seconds"] for share in shares)
    return Gathered(columns, at_once, spent + time.monotonic() - began)


class Harvest:
    """What blocks gave so far."""

    def __init__(self, context: Context, at_once: AtOnce, *, steps: int) -> None:
        """Goes on from the checkpoints of an earlier attempt, unless that counted the work in other steps: then it was
        another version's."""
        chain = context.chain()
        if chain and chain[-1].values.get("steps") != steps:
            context.log(f"the checkpoint of step {chain[-1].step} counts in other steps: not used")
            chain = ()
        self._context = context
        self._steps = steps
        self._at_once = at_once
        self._began = time.monotonic()
        self._done = [_split(checkpoint)[0] for checkpoint in chain]
        self._saved = len(self._done)
        self._continues = chain[-1].step if chain else None
        self.step = chain[-1].step if chain else 0
        """Steps of work that are done."""
        self.hand = _split(chain[-1])[1] if chain else {}
        """What was found of the block that was begun."""
        if chain:
            at_once.restore(chain[-1].values)

    def add(self, made: Mapping[str, Tensor]) -> None:
        """What the next block gave, a column a name."""
        self._done.append({name: column.cpu() for name, column in made.items()})

    def safe_point(self, step: int, hand: Mapping[str, Tensor] | None = None) -> None:
        """`step` steps are done; `hand` is what was found so far of a block that is not done."""
        self._context.safe_point(step, partial(self._checkpoint, step, hand or {}))

    def whole(self) -> Gathered:
        """All blocks are done."""
        return Gathered(joined(self._done), self._at_once, time.monotonic() - self._began)

    def _checkpoint(self, step: int, hand: Mapping[str, Tensor]) -> Checkpoint:
        new = joined(self._done[self._saved :]) | {_HAND + name: held for name, held in hand.items()}
        values = {"steps": self._steps, **self._at_once.values()}
        checkpoint = Checkpoint(step, new, values, continues=self._continues)
        self._saved, self._continues = len(self._done), step
        return checkpoint


def joined(pieces: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Columns of several pieces one after another; a name need not be in all of them."""
    names = dict.fromkeys(name for piece in pieces for name in piece)
    return {name: torch.cat([piece[name] for piece in pieces if name in piece]) for name in names}


def _split(checkpoint: Checkpoint) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Blocks that were done, and the one in hand."""
    done, hand = {}, {}
    for name, tensor in checkpoint.tensors.items():
        if name.startswith(_HAND):
            hand[name.removeprefix(_HAND)] = tensor
        else:
            done[name] = tensor
    return done, hand
