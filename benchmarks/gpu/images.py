"""Image folders that travel: packed into one file, and read once for all jobs of a call."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

from core.cards import DATASETS, DatasetCard, DatasetEntry
from core.folder import read_folder
from core.images import Splits
from sieve.specs import Spec

NAME = "brought-along"
"""What specs call the images."""

WHEELS = (
    "annotated-types", "pydantic", "pydantic-core", "safetensors", "typing-extensions", "typing-inspection", "pillow",
    "torchattacks", "foolbox", "eagerpy", "adversarial-robustness-toolbox",
    "requests", "urllib3", "idna", "certifi", "chardet", "charset-normalizer", "tqdm", "six",
    "gitpython", "gitdb", "smmap", "plotly",
)  # fmt: skip
"""What a machine with torch, torchvision and numpy lacks. Of the peers' own needs scipy and scikit-learn are left out:
they are as large as all the rest, and a peer that cannot be imported is left out with the reason."""

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def pack(folder: Path, out: Path) -> Path:
    """An image folder (train/<class>/*, test/<class>/*) as `images.tar.xz`; the same folder gives the same members."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "images.tar.xz"
    with tarfile.open(path, "w:xz", preset=6) as archive:
        for split in ("train", "test"):
            for file in sorted((folder / split).rglob("*")):
                if file.is_file():
                    archive.add(file, arcname=str(file.relative_to(folder)), filter=_plain)
    return path


def fetch_wheels(out: Path, versions: dict[str, str]) -> None:
    """Download `WHEELS` for Python 3.12 on x86-64 Linux, of these versions where one is given."""
    out.mkdir(parents=True, exist_ok=True)
    platforms = [option for name in PLATFORMS for option in ("--platform", name)]
    wanted = [f"{name}=={versions[name]}" if name in versions else name for name in WHEELS]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", "3.12", "--implementation", "cp", *platforms, "--dest", str(out), *wanted]
    subprocess.run(command, check=True)  # noqa: S603


def locked_versions(lock: Path) -> dict[str, str]:
    """Versions by name of a requirements.lock."""
    pairs = (line.split(";")[0].split()[0].split("==") for line in lock.read_text().splitlines() if "==" in line[:80])
    return {pair[0].split("[")[0]: pair[1] for pair in pairs if len(pair) == 2}


def read(images: Path, scratch: Path) -> Splits:
    """Read an image folder, or a packed one, and let jobs know it as `NAME`."""
    folder = images
    if images.is_file():
        folder = scratch / "images"
        with tarfile.open(images) as archive:
            archive.extractall(folder, filter="data")
        inner = [path for path in folder.iterdir() if path.is_dir()]
        folder = folder if (folder / "train").is_dir() else inner[0]
    splits = read_folder(folder)
    offer(splits)
    return splits


def offer(splits: Splits) -> None:
    """Let jobs of this process know images as `NAME`, without reading them again."""
    _, channels, height, width = splits.train.pixels.shape
    card = DatasetCard((channels, height, width), splits.classes, len(splits.train), len(splits.test))
    DATASETS.add(DatasetEntry(NAME, "images brought along", Spec, lambda _: card, lambda _options, _folder: splits))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what differs between machines."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member
