"""Parquet as the Hugging Face hub has it: `image` (PNG), `label`, and one column each of what is known of the images.

The schema's metadata key `huggingface` makes `datasets` restore images and class names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from formats.arrivals import Arrival, Limits, Refused, Sample, decoded, shown
from formats.card import About, Format, Tick
from formats.images import ImageFile
from formats.png import eight_bits, png


def write(images: ImageFile, about: About, target: Path, tick: Tick) -> None:  # noqa: ARG001
    """One row an image, a row group a batch."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {name: pa.from_numpy_dtype(column.dtype) for name, column in images.columns.items()}
    schema = pa.schema([("image", picture), ("label", pa.int64()), *columns.items()])
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features(images)}})})
    done = 0
    with pq.ParquetWriter(target, schema) as writer:
        for batch in images.batches():
            rows = slice(done, done + len(batch))
            shown = [
                {"bytes": png(pixels), "path": f"{done + at:07d}.png"} for at, pixels in enumerate(eight_bits(batch))
            ]
            told = [pa.array(images.columns[name][rows]) for name in columns]
            arrays = [pa.array(shown, picture), pa.array(images.labels[rows]), *told]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            done += len(batch)
            tick(done)


def features(images: ImageFile) -> dict[str, Any]:
    """The columns as `datasets` describes them."""
    told = {name: {"dtype": str(column.dtype), "_type": "Value"} for name, column in images.columns.items()}
    return {
        "image": {"_type": "Image"},
        "label": {"names": list(images.classes), "_type": "ClassLabel"},
        **told,
    }


def read(path: Path, limits: Limits) -> Arrival:
    """A column `image` or `img` (file bytes, alone or in a struct) and a column `label` (integers or strings).

    Raises:
        Refused: now, or while its samples are taken.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        file = pq.ParquetFile(path, thrift_string_size_limit=16 << 20, thrift_container_size_limit=1 << 20)
        whole, packed = file.metadata, path.stat().st_size
        groups = [whole.row_group(number) for number in range(whole.num_row_groups)]
        if whole.num_rows > limits.files:
            raise Refused(f"it holds {whole.num_rows:,} rows; {limits.files:,} are allowed")
        if sum(group.total_byte_size for group in groups) > limits.unpacked(packed):
            raise Refused("it unpacks to far more bytes than it has")
        names = file.schema_arrow.names
        image = next((name for name in ("image", "img") if name in names), None)
        label = next((name for name in ("label", "labels") if name in names), None)
        if image is None or label is None:
            raise Refused(f"it has no columns image and label, but {shown(', '.join(names))}")
        classes = _class_names(file.schema_arrow.metadata or {}, label)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise Refused(f"it is no whole parquet file: {shown(str(error))}") from None
    return Arrival(_samples(file, image, label, limits), classes)


def _samples(file: Any, image: str, label: str, limits: Limits) -> Iterator[Sample]:
    import pyarrow as pa  # noqa: PLC0415

    number = 0
    try:
        for batch in file.iter_batches(batch_size=256, columns=[image, label]):
            for content, own in zip(batch.column(image).to_pylist(), batch.column(label).to_pylist(), strict=True):
                where = f"row {number}"
                held = content.get("bytes") if isinstance(content, dict) else content
                if not isinstance(held, bytes) or not isinstance(own, int | str):
                    raise Refused(f"{where} holds no image bytes, or no label")
                if len(held) > limits.file_bytes:
                    raise Refused(f"{where} has an image of {len(held):,} bytes; {limits.file_bytes:,} are allowed")
                yield Sample(decoded(held, where, limits), own, None, where)
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
)
