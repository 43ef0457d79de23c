"""Files that nobody should unpack: archives that lead out or blow up, pickles, images that are none, arrays that lie.

Each function writes one sort of file in several variants: name to bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Variants = Iterator[tuple[str, bytes]]
ESCAPES = (
    "../../etc/cron.d/x.png",
    "a/../../x.png",
    "/etc/passwd.png",
    "..\\..\\x.png",
    "C:\\windows\\x.png",
    "train/../../cat/x.png",
    "train/cat/../../../x.png",
    "//host/share/x.png",
)


TOUCHED = Path(tempfile.gettempdir(), "unpickled-by-an-upload")
"""There once something was unpickled."""


class Explodes:
    """Would run a command where it is unpickled."""

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {TOUCHED}",)


def picture(size: tuple[int, int] = (8, 8), form: str = "PNG", mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, form)
    return out.getvalue()


def zipped(files: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, how)
    return out.getvalue()


def taped(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def entry(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def escapes() -> Variants:
    good = picture()
    for number, name in enumerate(ESCAPES):
        yield f"zip {number}", zipped({"train/cat/1.png": good, name: good})
        yield f"tar {number}", taped((entry(name, len(good)), good))
        yield f"tar.gz {number}", gzip.compress(taped((entry(name, len(good)), good)))


def links() -> Variants:
    good = picture()
    for name, kind in (("symlink", tarfile.SYMTYPE), ("hard link", tarfile.LNKTYPE)):
        for target in ("/etc/passwd", "../../secret", "train/cat/1.png"):
            link = entry("train/cat/2.png", kind=kind, link=target)
            yield f"{name} to {target}", taped((entry("train/cat/1.png", len(good)), good), (link, b""))
    for name, kind in (("device", tarfile.CHRTYPE), ("block", tarfile.BLKTYPE), ("fifo", tarfile.FIFOTYPE)):
        yield name, taped((entry("train/cat/1.png", kind=kind), b""))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("train/cat/1.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    yield "zip symlink", out.getvalue()


def bombs() -> Variants:
    zeros = bytes(200 << 20)
    yield "zip of zeros", zipped({"train/cat/1.png": zeros}, zipfile.ZIP_DEFLATED)
    yield (
        "zip of many zeros",
        zipped({f"train/cat/{n}.png": zeros[: 20 << 20] for n in range(20)}, zipfile.ZIP_DEFLATED),
    )
    yield "zip in a zip", zipped({"train/cat/1.png": zipped({"a/1.png": zeros}, zipfile.ZIP_DEFLATED)})
    yield "tar.gz of zeros", gzip.compress(taped((entry("train/cat/1.png", len(zeros)), zeros)))
    yield "tar.gz of a text", gzip.compress(taped((entry("train/cat/notes.txt", len(zeros)), zeros)))
    pax = tarfile.TarInfo("PaxHeader")
    pax.type, pax.size = tarfile.XHDTYPE, len(zeros)
    yield "tar.gz with a great header", gzip.compress(pax.tobuf() + zeros)
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, len(zeros)
    yield "tar.gz with a long name", gzip.compress(long.tobuf() + b"a" * len(zeros))
    yield "gzip of zeros", gzip.compress(zeros)
    yield "gzip of gzips", gzip.compress(gzip.compress(gzip.compress(zeros)))
    lying = bytearray(zipped({"train/cat/1.png": picture()}))
    at = lying.index(b"PK\x01\x02")
    lying[at + 24 : at + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    yield "zip that says 4 GB", bytes(lying)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as member:
        np.lib.format.write_array_header_2_0(
            member, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 32, 32, 3)}
        )
        member.write(zeros)
    yield "npz of zeros", out.getvalue()


def images() -> Variants:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def png(width: int, height: int, *more: bytes, depth: int = 8, colour: int = 2) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IEND", b"")

    pixels = chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    good = picture()
    made = {
        "great png": png(60_000, 60_000, pixels),
        "greater png": png(2**31 - 1, 2**31 - 1, pixels),
        "flat png": png(2**31 - 1, 1, pixels),
        "no pixels": png(8, 8),
        "no width": png(0, 8, pixels),
        "text bomb": png(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100 << 20))), pixels),
        "profile bomb": png(8, 8, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100 << 20))), pixels),
        "cut png": good[:40],
        "empty": b"",
        "zeros": bytes(5000),
        "text": b"hello",
        "html": b"<html><script>alert(1)</script></html>",
        "elf": b"\x7fELF" + bytes(500),
        "shell": b"#!/bin/sh\nrm -rf /\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        "gif": picture(form="GIF"),
        "tiff": picture(form="TIFF"),
        "bmp": picture(form="BMP"),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
        "16 bits": picture(mode="I;16"),
        "cut jpeg": picture(form="JPEG")[:150],
        "pickle": pickle.dumps(Explodes()),
    }
    for name, content in made.items():
        yield name, zipped({"train/cat/1.png": good, "train/dog/2.png": content})


def pickles() -> Variants:
    def saved(**arrays: Any) -> bytes:
        out = io.BytesIO()
        np.savez(out, **arrays)
        return out.getvalue()

    objects = np.array([Explodes(), None], dtype=object)
    good, labels = np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1])
    yield "npz images", saved(images=objects, labels=labels)
    yield "npz labels", saved(images=good, labels=objects)
    yield "npz classes", saved(images=good, labels=labels, classes=objects)
    yield "bare", pickle.dumps(Explodes())
    for protocol in range(5):
        yield f"protocol {protocol}", pickle.dumps({"images": Explodes()}, protocol)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Explodes(), 2))
        archive.writestr("archive/version", "3\n")
    yield "torch", out.getvalue()


def arrays() -> Variants:
    def saved(**named: Any) -> bytes:
        out = io.BytesIO()
        np.savez(out, **named)
        return out.getvalue()

    def lying(**header: Any) -> bytes:
        told = repr({"descr": "|u1", "fortran_order": False, "shape": (2, 8, 8, 3)} | header).encode() + b"\n"
        written = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(told)) + told + bytes(384)
        return zipped({"images.npy": written, "labels.npy": label.getvalue()})

    label = io.BytesIO()
    np.save(label, np.array([0, 1]))
    images, labels = np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1])
    yield "too many", lying(shape=(2, 10**9, 10**9, 3))
    yield "negative", lying(shape=(2, -8, 8, 3))
    yield "not a shape", lying(shape="eight")
    yield "no type", lying(descr="|V10000000")
    yield "nan", saved(images=np.full((2, 8, 8, 3), np.nan, np.float32), labels=labels)
    yield "infinite", saved(images=np.full((2, 8, 8, 3), np.inf, np.float32), labels=labels)
    yield "0 to 255 as floats", saved(images=images.astype(np.float32) + 255, labels=labels)
    yield "integers", saved(images=images.astype(np.int64), labels=labels)
    yield "complex", saved(images=images.astype(np.complex64), labels=labels)
    yield "one label less", saved(images=images, labels=labels[:1])
    yield "negative label", saved(images=images, labels=np.array([0, -1]))
    yield "great label", saved(images=images, labels=np.array([0, 2**62]))
    yield "float labels", saved(images=images, labels=np.array([0.0, 1.0]))
    yield "one class", saved(images=images, labels=np.array([1, 1]))
    yield "two axes", saved(images=images[:, :, 0, 0], labels=labels)
    yield "either axis", saved(images=np.zeros((2, 3, 8, 3), np.uint8), labels=labels)
    yield "no images", saved(labels=labels)
    yield "other names", saved(pictures=images, words=labels)
    yield "nothing", saved()
    yield "empty arrays", saved(images=images[:0], labels=labels[:0])
    yield "cut", saved(images=images, labels=labels)[:300]


def tensors() -> Variants:
    def written(header: Any, data: bytes = b"") -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data

    one = {"dtype": "F32", "shape": [2, 3, 8, 8], "data_offsets": [0, 1536]}
    two = {"dtype": "I64", "shape": [2], "data_offsets": [1536, 1552]}
    yield "great header", (2**60).to_bytes(8, "little") + b"{}" + bytes(100)
    yield "deep header", written(b'{"a":' * 50_000 + b"1" + b"}" * 50_000)
    yield "beyond the end", written({"images": one | {"data_offsets": [0, 2**40]}, "labels": two})
    yield "overlapping", written({"images": one, "labels": two | {"data_offsets": [0, 16]}}, bytes(1552))
    yield "great shape", written({"images": one | {"shape": [2**40, 2**40, 8, 8]}, "labels": two}, bytes(1552))
    yield "one channel more", written({"images": one | {"shape": [2, 4, 6, 8]}, "labels": two}, bytes(1552))
    yield "no labels", written({"images": one}, bytes(1536))
    yield "float labels", written({"images": one, "labels": two | {"dtype": "F64"}}, bytes(1552))
    yield "nan", written({"images": one, "labels": two}, b"\xff" * 1552)
    yield "cut tensors", written({"images": one, "labels": two}, bytes(700))


def tables() -> Variants:
    def written(**columns: Any) -> bytes:
        out = io.BytesIO()
        pq.write_table(pa.table(columns), out)
        return out.getvalue()

    good = [picture(), picture((8, 8), "JPEG")]
    yield "no images", written(label=[0, 1])
    yield "words", written(image=["a", "b"], label=[0, 1])
    yield "paths", written(image=[{"path": "/etc/passwd"}, {"path": "x"}], label=[0, 1])
    yield "no bytes", written(image=[{"bytes": None}, {"bytes": None}], label=[0, 1])
    yield "no pictures", written(image=[b"a", b"b"], label=[0, 1])
    yield "null labels", written(image=good, label=[None, 1])
    yield "great labels", written(image=good, label=[0, 2**60])
    yield "mixed sizes", written(image=[picture(), picture((9, 9))], label=[0, 1])
    yield "many alike", written(image=[bytes(1 << 20)] * 2000, label=list(range(2000)))
    whole = written(image=good, label=[0, 1])
    yield "cut table", whole[: len(whole) // 2]
    yield "great footer", whole[:-8] + (2**31 - 1).to_bytes(4, "little") + b"PAR1"
    yield "broken footer", whole[:-60] + bytes(52) + whole[-8:]


def odds() -> Variants:
    good = picture()
    yield "nothing", b""
    yield "a picture", good
    yield "text", b"image,label\n1.png,0\n"
    yield "empty zip", zipped({})
    yield "empty tar", taped()
    yield "no folder", zipped({"1.png": good, "2.png": good})
    yield "one class", zipped({"train/cat/1.png": good})
    yield "no pictures", zipped({"train/cat/1.txt": b"hello"})
    yield "hidden", zipped({"train/.cat/1.png": good, "__MACOSX/dog/1.png": good})
    yield "mixed", zipped({"train/cat/1.png": good, "train/dog/2.png": picture((9, 9))})
    yield "grey first", zipped({"train/cat/1.png": picture(mode="L"), "train/dog/2.png": good})
    yield "cut zip", zipped({"train/cat/1.png": good, "train/dog/2.png": good})[:-30]
    yield "cut tar.gz", gzip.compress(taped((entry("train/cat/1.png", len(good)), good)))[:-20]
    yield "one great file", zipped({"train/cat/1.png": good + bytes(40 << 20)})
    wrong = bytearray(zipped({"train/cat/1.png": good, "train/dog/2.png": good}))
    wrong[50] ^= 0xFF
    yield "a wrong bit", bytes(wrong)
    secret = bytearray(zipped({"train/cat/1.png": good, "train/dog/2.png": good}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        secret[secret.index(mark) + offset] |= 1
    yield "encrypted", bytes(secret)


SORTS: list[Callable[[], Variants]] = [escapes, links, bombs, images, pickles, arrays, tensors, tables, odds]
