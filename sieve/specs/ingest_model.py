"""Spec of an ingest of weights: an uploaded file becomes a model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sieve.specs.base import ArchitectureRef, DatasetRef, Spec, UploadRef

Size = Annotated[int, Field(ge=1, le=1024)]
Statistics = Annotated[tuple[float, ...], Field(min_length=1, max_length=16)]


class IngestModelSpec(Spec):
    """Make a model of uploaded weights (safetensors), so that it can be attacked, judged, and read features from.

    A file that this service wrote says all of it by itself. Of another's, say the architecture, what it classifies
    (a dataset, or shape and classes), and how it normalises. Names of tensors may be this service's own, or the usual
    ones of residual networks (`conv1`, `bn1`, `layer1.0.conv1`, …, `fc` or `linear`), also behind `module.`.
    """

    kind: Literal["ingest_model"] = "ingest_model"
    upload: UploadRef
    architecture: ArchitectureRef | None = None
    """The network; absent where the file says it."""
    dataset: DatasetRef | None = None
    """What it classifies: gives shape and classes, and its test images show whether it does."""
    shape: tuple[Size, Size, Size] | None = None
    """Channels, height and width of its images, where no dataset is named."""
    classes: int | None = Field(default=None, ge=2, le=100_000)
    """How many it tells apart, where no dataset is named."""
    mean: Statistics | None = None
    """Taken from each channel of images in [0, 1]; one value a channel. Absent where the file says it."""
    std: Statistics | None = None
    """What each channel is divided by then."""

    @model_validator(mode="after")
    def _said_once(self) -> IngestModelSpec:
        if self.dataset is not None and (self.shape is not None or self.classes is not None):
            raise ValueError("dataset says shape and classes: leave them out")
        if (self.shape is None) != (self.classes is None):
            raise ValueError("shape and classes belong together")
        if self.architecture is not None and self.dataset is None and self.shape is None:
            raise ValueError("say what the network classifies: dataset, or shape and classes")
        if self.architecture is None and self.shape is not None:
            raise ValueError("shape and classes are said with an architecture; without one, the file must say them")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together")
        if self.mean is not None and self.std is not None:
            if len(self.mean) != len(self.std):
                raise ValueError(f"there are {len(self.mean)} values of mean and {len(self.std)} of std")
            if min(self.std) <= 0:
                raise ValueError("std must be above 0")
        return self
