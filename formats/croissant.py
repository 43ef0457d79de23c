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
from formats.images import ImageFile, ImageSplit


@dataclass(frozen=True)
class Described:
    """A file of a bundle."""

    media_type: str
    sha256: str
    size: int
    """Bytes."""


def croissant(images: ImageFile, about: About, files: Mapping[str, Described], *, records: Mapping[str, str]) -> bytes:
    """The JSON-LD document of a bundle: its files by name, and a record set a split with the columns of its parquet
    file, which `records` names."""
    import mlcroissant as mlc  # noqa: PLC0415

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
        record_sets=[_record_set(images, split, records[split.name]) for split in images.splits],
        extra_properties=_provenance(about),
    )
    return (json.dumps(metadata.to_json(), indent=2, sort_keys=True) + "\n").encode()


def _record_set(images: ImageFile, split: ImageSplit, file: str) -> Any:
    """What each row of a split's file has."""
    import mlcroissant as mlc  # noqa: PLC0415

    def field(name: str, data_type: str, description: str, **transform: str) -> Any:
        transforms = [mlc.Transform(**transform)] if transform else []
        source = mlc.Source(file_object=file, extract=mlc.Extract(column=name), transforms=transforms)
        id = f"{split.name}/{name}"
        return mlc.Field(id=id, name=name, description=description, data_types=[data_type], source=source)

    kinds = {"f": mlc.DataType.FLOAT, "i": mlc.DataType.INTEGER, "u": mlc.DataType.INTEGER, "b": mlc.DataType.BOOL}
    known = [field(name, kinds[np.dtype(column.dtype).kind], meaning(name)) for name, column in split.columns.items()]
    fields = [
        field("image", mlc.DataType.IMAGE_OBJECT, "PNG, 8 bits a channel", json_path="bytes"),
        field("label", mlc.DataType.INTEGER, "in this order: " + ", ".join(images.classes)),
        *known,
    ]
    return mlc.RecordSet(id=split.name, name=split.name, fields=fields)


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
            {
                "@type": "prov:Entity",
                "identifier": name,
                "sha256": sha256,
                **({"name": told["names"][name]} if name in told.get("names", {}) else {}),
            }
            for name, sha256 in told["inputs"].items()
        ],
    }
