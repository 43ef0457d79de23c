"""Everything about a dataset in one tar: both forms of its images, a card, Croissant, hashes, provenance, a loader."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from formats import parquet
from formats.card import About, Format, Tick
from formats.columns import meaning
from formats.croissant import Described, croissant
from formats.images import ImageFile
from formats.tape import writing

EXACT = "dataset.safetensors"

_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_MEDIA_TYPES = {
    EXACT: "application/octet-stream",
    "README.md": "text/markdown",
    "load.py": "text/x-python",
    "provenance.json": "application/json",
    "croissant.json": "application/ld+json",
}

_templates = Environment(
    loader=PackageLoader("formats"),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # noqa: S701 - Markdown and Python, not HTML
)


def write(images: ImageFile, about: About, target: Path, tick: Tick) -> None:
    """The tar unpacks into one folder, named as the dataset is."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        views: dict[str, bytes | Path] = {}
        for split in images.splits:
            view = Path(scratch, split.name)
            parquet.write_split(images, split, view, tick)
            views[parquet.name_of(split)] = view
        contents: dict[str, bytes | Path] = {
            "README.md": card(images, about),
            "load.py": _templates.get_template("load.py.jinja").render(exact=EXACT, images=images).encode(),
            "provenance.json": (json.dumps(about.provenance, indent=2, sort_keys=True) + "\n").encode(),
            **views,
            EXACT: images.path,
        }
        records: dict[str, str] = {split.name: parquet.name_of(split) for split in images.splits}
        described = {name: _described(name, content) for name, content in contents.items()}
        contents["croissant.json"] = croissant(images, about, described, records=records)
        described["croissant.json"] = _described("croissant.json", contents["croissant.json"])
        sums = "".join(f"{file.sha256}  {name}\n" for name, file in sorted(described.items()))
        contents["SHA256SUMS"] = sums.encode()
        with writing(target) as archive:
            for name, content in contents.items():
                archive.add(f"{about.name}/{name}", content)


def card(images: ImageFile, about: About) -> bytes:
    """README.md: a dataset card with the front matter that hubs read."""
    files = [{"split": split.name, "path": f"data/{split.name}-*.parquet"} for split in images.splits]
    splits = [{"name": split.name, "num_examples": len(split)} for split in images.splits]
    front: dict[str, Any] = {
        "pretty_name": about.title,
        "task_categories": ["image-classification"],
        **({"tags": ["adversarial-robustness", "robust-features", "non-robust-features"]} if about.constructed else {}),
        "size_categories": [_size(len(images))],
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {"features": _features(images), "splits": splits},
    }
    text = _templates.get_template("card.md.jinja").render(
        front=yaml.safe_dump(front, sort_keys=False, allow_unicode=True),
        about=about,
        images=images,
        spec=yaml.safe_dump(dict(about.provenance["spec"]), sort_keys=True),
        columns={name: meaning(name) for name in images.train.columns},
        exact=EXACT,
    )
    return text.encode()


def _features(images: ImageFile) -> list[dict[str, Any]]:
    names = {str(label): name for label, name in enumerate(images.classes)}
    known = [{"name": name, "dtype": str(column.dtype)} for name, column in images.train.columns.items()]
    return [
        {"name": "image", "dtype": "image"},
        {"name": "label", "dtype": {"class_label": {"names": names}}},
        *known,
    ]


def _size(images: int) -> str:
    """The hub's words for a number of images."""
    words = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M"]
    return words[sum(images >= size for size in _SIZES)]


def _described(name: str, content: bytes | Path) -> Described:
    # Of parquet not the registered name, but the one that readers of Croissant know.
    media_type = "application/x-parquet" if name.endswith(".parquet") else _MEDIA_TYPES[name]
    if isinstance(content, bytes):
        return Described(media_type, hashlib.sha256(content).hexdigest(), len(content))
    with content.open("rb") as reading:
        return Described(media_type, hashlib.file_digest(reading, "sha256").hexdigest(), content.stat().st_size)


ENTRY = Format(
    name="bundle",
    summary="everything: exact and rounded images, dataset card, Croissant, hashes, provenance, a loader",
    suffix=".tar",
    media_type="application/x-tar",
    exact=True,
    write=write,
)
