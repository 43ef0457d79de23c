"""Croissant 1.1: the machine-readable description of a bundle, https://docs.mlcommons.org/croissant/

Where the dataset comes from is said in terms of W3C PROV, https://www.w3.org/TR/prov-o/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from formats.card import About
from formats.columns import meaning
from formats.images import ImageFile


@dataclass(frozen=True)
class Described:
    """A file of a bundle."""

    media_type: str
    sha256: str
    size: int
    """Bytes."""


def croissant(images: ImageFile, about: About, files: Mapping[str, Described], *, records: str) -> bytes:
    """The JSON-LD document of a bundle: its files by name, and the columns of `records`, its parquet file."""
    import mlcroissant as mlc  # noqa: PLC0415

    def field(name: str, data_type: str, description: str, **transform: str) -> Any:
        transforms = [mlc.Transform(**transform)] if transform else []
        source = mlc.Source(file_object=records, extract=mlc.Extract(column=name), transforms=transforms)
        return mlc.Field(id=f"train/{name}", name=name, description=description, data_types=[data_type], source=source)

    numbers = {"f": mlc.DataType.FLOAT, "i": mlc.DataType.INTEGER, "u": mlc.DataType.INTEGER}
    known = [
        field(name, numbers[np.dtype(column.dtype).kind], meaning(name)) for name, column in images.columns.items()
    ]
    context = mlc.Context(conforms_to="http://mlcommons.org/croissant/1.1")
    context.rdf.context["prov"] = "http://www.w3.org/ns/prov#"
    metadata = mlc.Metadata(
        ctx=context,
        name=about.name,
        description=f"{about.title}. {about.method}",
        version="1.0.0",
        distribution=[
            mlc.FileObject(
                id=name,
                name=name,
                content_url=name,
                content_size=f"{file.size} B",
                encoding_formats=[file.media_type],
                sha256=file.sha256,
            )
            for name, file in files.items()
        ],
        record_sets=[
            mlc.RecordSet(
                id="train",
                name="train",
                fields=[
                    field("image", mlc.DataType.IMAGE_OBJECT, "PNG, 8 bits a channel", json_path="bytes"),
                    field("label", mlc.DataType.INTEGER, "in this order: " + ", ".join(images.classes)),
                    *known,
                ],
            )
        ],
        extra_properties=_provenance(about),
    )
    return (json.dumps(metadata.to_json(), indent=2, sort_keys=True) + "\n").encode()


def _provenance(about: About) -> dict[str, Any]:
    """`prov:wasGeneratedBy` the job, `prov:wasDerivedFrom` what the job was given."""
    told = about.provenance
    return {
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "identifier": told["job"],
            "description": json.dumps(told["spec"], sort_keys=True),
        },
        "prov:wasDerivedFrom": [
            {"@type": "prov:Entity", "identifier": name, "sha256": sha256} for name, sha256 in told["inputs"].items()
        ],
    }
