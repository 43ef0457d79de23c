"""Spec of an ingest: an uploaded file becomes a dataset."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sieve.specs.base import Seed, Spec, UploadRef

Side = Annotated[int, Field(ge=1, le=1024)]


class IngestSpec(Spec):
    """Make a dataset of an uploaded image folder (zip, tar, tar.gz), parquet, npz or safetensors file.

    What a file is, its first bytes say. Labels come from the folders that images lie in, or from a column or array.
    """

    kind: Literal["ingest"] = "ingest"
    upload: UploadRef
    size: tuple[Side, Side] | None = None
    """Height and width. Images of other sizes are scaled, bicubic, until they cover it, and cut to it around their
    middle. Absent: all images must be as large as the first."""
    test_fraction: Annotated[float, Field(ge=0, le=0.9)] = 0
    """Of a file that has no test images of its own, this part of each class becomes the test split."""
    seed: Seed = 0
    """Fixes which."""
