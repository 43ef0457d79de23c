"""What a format says of itself. The registry of formats is filled from the modules beside this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.registry import Registry
from formats.images import ImageFile


@dataclass(frozen=True)
class About:
    """What is said of a dataset beside its images."""

    name: str
    """Its id, `ds_…`."""
    title: str
    """One line for people, such as `D_rand of cifar10`."""
    method: str
    """The construction, in a sentence or two."""
    provenance: Mapping[str, Any]
    """JSON: `job`, `spec`, `seed`, `inputs` (sha256 of what it was made from, by reference), `software`, `hardware`."""
    constructed: bool = True
    """By one of the constructions of Ilyas et al. (2019); otherwise it was uploaded, or a plug-in's job made it."""


class Tick(Protocol):
    """Told that images are written."""

    def __call__(self, images: int) -> None:
        """Called after every batch, with how many it had."""


Write = Callable[[ImageFile, About, Path, Tick], None]
"""Writes a dataset to a new file. Equal content gives equal bytes; memory does not grow with the number of images."""


@dataclass(frozen=True)
class Format:
    """A file format that datasets are exported to."""

    name: str
    summary: str
    suffix: str
    """Of the file, with its dot."""
    media_type: str
    exact: bool
    """Does it keep float32 pixels? Otherwise they are rounded to 8 bits."""
    write: Write
    one_split: bool = False
    """A file of this format holds one split: a dataset with a test split becomes a tar of two such files."""

    def kind(self, images: ImageFile) -> tuple[str, str]:
        """Suffix and media type of what `write` makes of a dataset."""
        if self.one_split and images.test is not None:
            return ".tar", "application/x-tar"
        return self.suffix, self.media_type

    def keeps(self, images: ImageFile) -> bool:
        """Are a dataset's pixels the same in it? 8 bits hold those that were 8 bits before."""
        return self.exact or images.eight_bit


FORMATS: Registry[Format] = Registry("format", "formats", "feature_sieve.formats")
