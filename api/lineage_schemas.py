"""What the API answers about where datasets and models come from. See `api.schemas`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from api.schemas import Schema


class LineageNode(Schema):
    """A dataset or model, or something else that one was made of."""

    id: str
    what: Literal["dataset", "model", "upload", "folder", "built-in", "job"]
    name: str | None
    """Of its job, or of the file that was sent; for people."""
    sha256: str | None
    """Of its file; of a folder or a built-in dataset, of its pixels and labels as they were read."""
    job: str | None
    """The job that made it."""
    kind: str | None
    """Of that job."""
    spec: dict[str, Any] | None
    """Null where the job is somebody else's, or gone."""
    seed: int | None
    software: dict[str, str]
    """Versions that the job ran with; `code` is a hash of the service's own source."""
    hardware: dict[str, Any]
    """What it ran on."""
    made_at: datetime | None
    inputs: dict[str, str]
    """Ids of the nodes that it was made of, by the name that the spec gives them."""
    there: bool
    """False of what was deleted, or is somebody else's."""


class Lineage(Schema):
    """Where a dataset or model comes from, back to what no job made."""

    id: str
    nodes: list[LineageNode]
    """Itself first, then each after what it went into."""
