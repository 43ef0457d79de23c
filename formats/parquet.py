"""Parquet as the Hugging Face hub has it: `image` (PNG), `label`, and one column each of what is known of the images.

The schema's metadata key `huggingface` makes `datasets` restore images and class names. A file is one split: where
there are two, they are a tar of `data/train-00000-of-00001.parquet` and `data/test-00000-of-00001.parquet`, which
`datasets.load_dataset` takes apart by their names. In one file with a column for the split, whoever overlooks that
would train on the test images.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from formats.arrivals import SPLITS, Arrival, Limits, Refused, Sample, Split, decoded, shown, split_of
from formats.card import About, Format, Tick
from formats.images import ImageFile, ImageSplit
from formats.png import eight_bits, png
from formats.tape import writing

_FILES = 1000
"""Of a tar; hubs cut the largest datasets into so many."""
_BROKEN = (tarfile.TarError, EOFError, OSError, OverflowError, ValueError)
"""What the library raises for damaged tars."""
_OTHERS = frozenset({".jpg", ".jpeg", ".png", ".safetensors"})


def write(images: ImageFile, about: About, target: Path, tick: Tick) -> None:  # noqa: ARG001
    """The file, or the tar of both."""
    if images.test is None:
        write_split(images, images.train, target, tick)
        return
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, writing(target) as archive:
        for split in images.splits:
            part = Path(scratch, "part")
            write_split(images, split, part, tick)
            archive.add(name_of(split), part)


def name_of(split: ImageSplit) -> str:
    """Where `datasets.load_dataset` looks first."""
    return f"data/{split.name}-00000-of-00001.parquet"


def write_split(images: ImageFile, split: ImageSplit, target: Path, tick: Tick) -> None:
    """One row an image, a row group a batch. All splits have the same columns; what is not known is null."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {name: pa.from_numpy_dtype(column.dtype) for name, column in images.train.columns.items()}
    schema = pa.schema([("image", picture), ("label", pa.int64()), *columns.items()])
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features(images)}})})
    done = 0
    with pq.ParquetWriter(target, schema) as writer:
        for batch in split.batches():
            rows = slice(done, done + len(batch))
            shown = [
                {"bytes": png(pixels), "path": f"{done + at:07d}.png"} for at, pixels in enumerate(eight_bits(batch))
            ]
            told = [
                pa.array(split.columns[name][rows]) if name in split.columns else pa.nulls(len(batch), kind)
                for name, kind in columns.items()
            ]
            arrays = [pa.array(shown, picture), pa.array(split.labels[rows]), *told]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            done += len(batch)
            tick(len(batch))


def features(images: ImageFile) -> dict[str, Any]:
    """The columns as `datasets` describes them."""
    told = {name: {"dtype": str(column.dtype), "_type": "Value"} for name, column in images.train.columns.items()}
    return {
        "image": {"_type": "Image"},
        "label": {"names": list(images.classes), "_type": "ClassLabel"},
        **told,
    }


@dataclass(frozen=True)
class _Opened:
    """A parquet file of images, looked at but not read."""

    file: Any
    image: str
    """The column of images."""
    label: str
    classes: tuple[str, ...] | None
    rows: int
    bytes: int
    """Of its pages, unpacked."""


def read(path: Path, limits: Limits) -> Arrival:
    """A column `image` or `img` (file bytes, alone or in a struct) and a column `label` (integers or strings).

    Also a tar of such files, as hubs keep datasets; split by their names, `data/test-00000….parquet` or
    `test/0.parquet`.

    Raises:
        Refused: now, or while its samples are taken.
    """
    with path.open("rb") as file:
        alone = file.read(4) == b"PAR1"
    sources: list[tuple[Split | None, Any]] = [(None, path)] if alone else _taped(path)
    opened = [(split, _opened(source)) for split, source in sources]
    if (rows := sum(one.rows for _, one in opened)) > limits.files:
        raise Refused(f"it holds {rows:,} rows; {limits.files:,} are allowed")
    if sum(one.bytes for _, one in opened) > limits.unpacked(path.stat().st_size):
        raise Refused("it unpacks to far more bytes than it has")
    if len({one.classes for _, one in opened}) > 1:
        raise Refused("its files name the classes differently")
    return Arrival(itertools.chain(*(_samples(one, split, limits) for split, one in opened)), opened[0][1].classes)


def holds(path: Path) -> bool:
    """Is a tar one of parquet files, and not of other forms of images?"""
    with contextlib.suppress(*_BROKEN), tarfile.open(path, "r:") as archive:
        suffixes = {PurePosixPath(entry.name).suffix.lower() for entry in itertools.islice(archive, _FILES)}
        return ".parquet" in suffixes and not suffixes & _OTHERS
    return False


def _taped(path: Path) -> list[tuple[Split | None, Any]]:
    """The parquet files of a tar, where they lie."""
    found: list[tuple[Split | None, Any]] = []
    try:
        archive = tarfile.open(path, "r:")  # noqa: SIM115 - its files are read later
        for number, entry in enumerate(archive):
            split_of(entry.name + "/folder" * 2)  # refuses what leads out
            if number >= _FILES:
                raise Refused(f"it holds more than {_FILES:,} files beside parquet")
            if entry.isdir():
                continue
            if not entry.isfile() or entry.issparse():
                raise Refused(f"{shown(entry.name)} is no ordinary file")
            name = PurePosixPath(entry.name)
            if name.suffix.lower() == ".parquet":
                words = re.split("[^a-z]", name.name.lower())[0], name.parent.name.lower()
                split = next((SPLITS[word] for word in words if word in SPLITS), None)
                found.append((split, archive.extractfile(entry)))
    except _BROKEN as error:
        raise Refused(f"it is no whole tar file: {shown(str(error))}") from None
    return found


def _opened(source: Any) -> _Opened:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        file = pq.ParquetFile(source, thrift_string_size_limit=16 << 20, thrift_container_size_limit=1 << 20)
        whole = file.metadata
        groups = [whole.row_group(number) for number in range(whole.num_row_groups)]
        names = file.schema_arrow.names
        image = next((name for name in ("image", "img") if name in names), None)
        label = next((name for name in ("label", "labels") if name in names), None)
        if image is None or label is None:
            raise Refused(f"it has no columns image and label, but {shown(', '.join(names))}")
        classes = _class_names(file.schema_arrow.metadata or {}, label)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise Refused(f"it is no whole parquet file: {shown(str(error))}") from None
    return _Opened(file, image, label, classes, whole.num_rows, sum(group.total_byte_size for group in groups))


def _samples(opened: _Opened, split: Split | None, limits: Limits) -> Iterator[Sample]:
    import pyarrow as pa  # noqa: PLC0415

    number, image, label = 0, opened.image, opened.label
    try:
        for batch in opened.file.iter_batches(batch_size=256, columns=[image, label]):
            for content, own in zip(batch.column(image).to_pylist(), batch.column(label).to_pylist(), strict=True):
                where = f"{split} row {number}" if split else f"row {number}"
                held = content.get("bytes") if isinstance(content, dict) else content
                if not isinstance(held, bytes) or not isinstance(own, int | str):
                    raise Refused(f"{where} holds no image bytes, or no label")
                if len(held) > limits.file_bytes:
                    raise Refused(f"{where} has an image of {len(held):,} bytes; {limits.file_bytes:,} are allowed")
                yield Sample(decoded(held, where, limits), own, split, where)
                number += 1
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise Refused(f"it is no whole parquet file: {shown(str(error))}") from None


def _class_names(metadata: dict[bytes, bytes], label: str) -> tuple[str, ...] | None:
    """Those that `datasets` wrote."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


ENTRY = Format(
    name="parquet",
    summary="Hugging Face: images as PNG (8 bits), labels with their names, columns",
    suffix=".parquet",
    media_type="application/vnd.apache.parquet",
    exact=False,
    write=write,
    one_split=True,
)
