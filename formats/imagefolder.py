"""A folder of PNG files, `train/03_cat/0000123.png`, with `train/metadata.csv`, in a tar; `test/` likewise.

torchvision numbers class folders as their names sort, so they begin with the label, zero-padded. `datasets` takes no
labels from folders that have a metadata file beside them: it has a column for them.
"""

from __future__ import annotations

import csv
import gzip
import re
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from formats.arrivals import Arrival, Limits, Metered, Refused, Sample, decoded, shown, split_of
from formats.card import About, Format, Tick
from formats.images import ImageFile, ImageSplit
from formats.png import eight_bits, png
from formats.tape import Tape, writing

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
_ZIPPED_LINK = 0xA
"""Type bits of a symbolic link, in the upper half of an entry's external attributes."""


def write(images: ImageFile, about: About, target: Path, tick: Tick) -> None:  # noqa: ARG001
    """One file an image, a folder a class, a folder of those a split."""
    with writing(target) as archive:
        for split in images.splits:
            _write_split(split, images.classes, archive, target.parent, tick)


def _write_split(split: ImageSplit, classes: tuple[str, ...], archive: Tape, scratch: Path, tick: Tick) -> None:
    folders = class_folders(classes)
    done = 0
    with tempfile.NamedTemporaryFile("w", dir=scratch, newline="", encoding="utf-8") as table:
        rows = csv.writer(table)
        rows.writerow(["file_name", "label", "class", *split.columns])
        for batch in split.batches():
            for number, pixels in enumerate(eight_bits(batch), done):
                label = int(split.labels[number])
                name = f"{folders[label]}/{number:07d}.png"
                archive.add(f"{split.name}/{name}", png(pixels))
                known = [column[number].item() for column in split.columns.values()]
                rows.writerow([name, label, classes[label], *known])
            done += len(batch)
            tick(len(batch))
        table.flush()
        archive.add(f"{split.name}/metadata.csv", Path(table.name))


def class_folders(classes: tuple[str, ...]) -> list[str]:
    """A folder name for each label; they sort as the labels do, and hold on every file system."""
    digits = len(str(len(classes) - 1))
    return [f"{label:0{digits}d}_{re.sub(r'[^0-9A-Za-z]+', '_', name)}" for label, name in enumerate(classes)]


def read(path: Path, limits: Limits) -> Arrival:
    """A zip or tar (also `.tar.gz`) of JPEG and PNG files, each in a folder of its class, that in `train` or `test`.

    Other files are passed over; links and devices are not.

    Raises:
        Refused: now, or while its samples are taken.
    """
    files = _zipped(path, limits) if zipfile.is_zipfile(path) else _taped(path, limits)
    return Arrival(_samples(files, limits))


def _samples(files: Iterator[tuple[str, bytes]], limits: Limits) -> Iterator[Sample]:
    for name, content in files:
        split, label = split_of(name)
        yield Sample(decoded(content, name, limits), label, split, name)


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts if part not in (".", ".."))
    return not hidden and path.suffix.lower() in _SUFFIXES


def _zipped(path: Path, limits: Limits) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > limits.files:
                raise Refused(f"it holds {len(entries):,} files; {limits.files:,} are allowed")
            if sum(entry.file_size for entry in entries) > limits.unpacked(path.stat().st_size):
                raise Refused("it unpacks to far more bytes than it has")
            for entry in entries:
                if entry.external_attr >> 28 == _ZIPPED_LINK:
                    raise Refused(f"{shown(entry.filename)} is a link")
                if entry.flag_bits & 1:
                    raise Refused(f"{shown(entry.filename)} is encrypted")
                split_of(entry.filename + "/folder" * 2)  # refuses what leads out, images or not
                if entry.is_dir() or not _is_image(entry.filename):
                    continue
                _check_size(entry.filename, entry.file_size, limits)
                with archive.open(entry) as reading:
                    yield entry.filename, reading.read(limits.file_bytes)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, ValueError, zlib.error) as error:
        raise Refused(f"it is no whole zip file: {shown(str(error))}") from None


def _taped(path: Path, limits: Limits) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if packed else file
        metered = Metered(stream, limits.unpacked(path.stat().st_size))  # type: ignore[arg-type]
        try:
            with tarfile.open(fileobj=metered, mode="r|") as archive:
                for number, entry in enumerate(archive):
                    archive.members.clear()  # type: ignore[attr-defined]  # kept for a listing
                    if number >= limits.files:
                        raise Refused(f"it holds more than {limits.files:,} files")
                    if not (entry.isfile() or entry.isdir()):
                        raise Refused(f"{shown(entry.name)} is a link or a device")
                    split_of(entry.name + "/folder" * 2)
                    if entry.isdir() or not _is_image(entry.name):
                        continue
                    _check_size(entry.name, entry.size, limits)
                    reading = archive.extractfile(entry)
                    assert reading is not None
                    yield entry.name, reading.read()
        except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
            raise Refused(f"it is no whole zip or tar file: {shown(str(error))}") from None


def _check_size(name: str, size: int, limits: Limits) -> None:
    if size > limits.file_bytes:
        raise Refused(f"{shown(name)} has {size:,} bytes; {limits.file_bytes:,} are allowed")


ENTRY = Format(
    name="imagefolder",
    summary="PNG files (8 bits) in one folder a class, for torchvision's ImageFolder and many others",
    suffix=".tar",
    media_type="application/x-tar",
    exact=False,
    write=write,
)
