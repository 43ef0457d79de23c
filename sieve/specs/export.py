"""Spec of an export: a dataset in a file format that other software reads."""

from __future__ import annotations

from typing import Literal

from sieve.specs.base import DatasetRef, Spec

FormatName = Literal["bundle", "imagefolder", "npz", "parquet", "safetensors", "torch", "webdataset"]


class ExportSpec(Spec):
    """Write a dataset that a job made, or took in, in another file format.

    The same dataset and format give the same bytes whenever they are written again.
    """

    kind: Literal["export"] = "export"
    dataset: DatasetRef
    """`ds_…`, or the job that made it; whole, so without limits."""
    format: FormatName = "bundle"
    """See `GET /v1/formats`."""
