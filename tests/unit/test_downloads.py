"""torchvision's datasets, read from tiny fixtures in their real file formats and really downloaded.

The fixtures are served over HTTP on this machine. torchvision is told their addresses and their checksums, and checks
them as it checks the real files.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import pickle
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from torchvision import datasets

from core.cards import DATASETS
from core.context import Inputs
from core.errors import DataUnavailable
from core.images import Splits, open_dataset
from core.registry import parse_options
from sieve.specs import DatasetRef

TRAIN, TEST = 5, 3
Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Install = Callable[[pytest.MonkeyPatch, Path, str], tuple[Pixels, Pixels, list[int], list[int]]]


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def drawn(*shape: int) -> Pixels:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def idx(
    which: type[datasets.MNIST], monkeypatch: pytest.MonkeyPatch, site: Path, address: str
) -> tuple[Pixels, Pixels, list[int], list[int]]:
    """MNIST's files: big-endian sizes behind a magic number, then bytes; gzip."""
    train, test = drawn(TRAIN, 28, 28), drawn(TEST, 28, 28)
    train_labels, test_labels = [3, 1, 4, 1, 9], [2, 7, 8]
    resources = []
    for (name, _), values in zip(
        which.resources, (train, np.uint8(train_labels), test, np.uint8(test_labels)), strict=True
    ):
        header = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
        packed = gzip.compress(header + values.tobytes())
        (site / name).write_bytes(packed)
        resources.append((name, md5(packed)))
    monkeypatch.setattr(which, "resources", resources)
    monkeypatch.setattr(which, "mirrors", [address])
    return train[:, None], test[:, None], train_labels, test_labels


def batches(
    which: type[datasets.CIFAR10], monkeypatch: pytest.MonkeyPatch, site: Path, address: str
) -> tuple[Pixels, Pixels, list[int], list[int]]:
    """CIFAR's files: a tar of pickled dictionaries, each image a row of 3,072 bytes, red before green before blue."""
    key = "labels" if which is datasets.CIFAR10 else "fine_labels"
    files: dict[str, bytes] = {}
    expected: list[tuple[Pixels, list[int]]] = []
    for listed, total in ((which.train_list, TRAIN), (which.test_list, TEST)):
        rows = drawn(total, 3072)
        labels = [place * 2 % 10 for place in range(total)]
        for place, (name, _) in enumerate(listed):
            part = slice(place, place + 1) if len(listed) > 1 else slice(None)
            files[name] = pickle.dumps({"data": rows[part], key: labels[part]}, protocol=2)
        expected.append((rows.reshape(-1, 3, 32, 32), labels))
    classes = DATASETS.get(which.__name__.lower()).card(None).classes
    files[which.meta["filename"]] = pickle.dumps({which.meta["key"]: list(classes)}, protocol=2)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{which.base_folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    (site / which.filename).write_bytes(packed.getvalue())
    monkeypatch.setattr(which, "url", address + which.filename)
    monkeypatch.setattr(which, "tgz_md5", md5(packed.getvalue()))
    for listed in ("train_list", "test_list"):
        monkeypatch.setattr(which, listed, [[name, md5(files[name])] for name, _ in getattr(which, listed)])
    monkeypatch.setattr(which, "meta", which.meta | {"md5": md5(files[which.meta["filename"]])})
    (train, train_labels), (test, test_labels) = expected
    return train, test, train_labels, test_labels


def matlab(monkeypatch: pytest.MonkeyPatch, site: Path, address: str) -> tuple[Pixels, Pixels, list[int], list[int]]:
    """SVHN's files: MATLAB, X is [32, 32, 3, n], y is [n, 1] from 1 to 10, and 10 stands for the digit 0."""
    splits = {}
    expected: list[tuple[Pixels, list[int]]] = []
    for split, labels in (("train", [1, 10, 3, 9, 5]), ("test", [10, 2, 7])):
        pixels = drawn(len(labels), 3, 32, 32)
        name = f"{split}_32x32.mat"
        scipy.io.savemat(site / name, {"X": pixels.transpose(2, 3, 1, 0), "y": np.array(labels, np.uint8)[:, None]})
        splits[split] = [address + name, name, md5((site / name).read_bytes())]
        expected.append((pixels, [label % 10 for label in labels]))
    monkeypatch.setattr(datasets.SVHN, "split_list", splits)
    (train, train_labels), (test, test_labels) = expected
    return train, test, train_labels, test_labels


CASES: dict[str, Install] = {
    "mnist": functools.partial(idx, datasets.MNIST),
    "fashion_mnist": functools.partial(idx, datasets.FashionMNIST),
    "cifar10": functools.partial(batches, datasets.CIFAR10),
    "cifar100": functools.partial(batches, datasets.CIFAR100),
    "svhn": matlab,
}


def read(name: str, data_folder: Path) -> Splits:
    return open_dataset(DatasetRef(name=name), Inputs(), data_folder)


def test_every_dataset_is_among_the_cases() -> None:
    assert {card.name for card in DATASETS.cards()} - {"digits", "planted", "restricted_imagenet"} == {*CASES}


@pytest.mark.parametrize("name", CASES)
def test_downloaded_once_and_read(
    name: str, site: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test, train_labels, test_labels = CASES[name](monkeypatch, *site)
    splits = read(name, tmp_path / "data")
    entry = DATASETS.get(name)
    card = entry.card(parse_options(entry.options, {}))
    assert splits.train.pixels.shape[1:] == card.shape
    assert splits.classes == card.classes
    for images, pixels, labels in ((splits.train, train, train_labels), (splits.test, test, test_labels)):
        assert images.pixels.dtype == torch.uint8
        assert images.pixels.is_contiguous()
        assert torch.equal(images.pixels, torch.from_numpy(np.ascontiguousarray(pixels)))
        assert images.labels.dtype == torch.int64
        assert images.labels.tolist() == labels
    for file in site[0].iterdir():
        file.unlink()
    assert torch.equal(read(name, tmp_path / "data").test.pixels, splits.test.pixels), "nothing is fetched twice"


@pytest.mark.parametrize("name", CASES)
def test_without_a_network_it_says_where_the_files_belong(
    name: str, site: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CASES[name](monkeypatch, *site)
    served = {file.name: file.read_bytes() for file in site[0].iterdir()}
    for file in site[0].iterdir():
        file.unlink()
    with pytest.raises(DataUnavailable, match=f"{name} is not in {tmp_path / 'data' / name}"):
        read(name, tmp_path / "data")
    assert not (tmp_path / "data" / name).exists(), "nothing half-made"
    for file_name, content in served.items():
        (site[0] / file_name).write_bytes(content)
    assert len(read(name, tmp_path / "data").train) == TRAIN, "the network is back"


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_checksum_is_refused(
    name: str, site: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CASES[name](monkeypatch, *site)
    for file in site[0].iterdir():
        file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(DataUnavailable):
        read(name, tmp_path / "data")
    assert not (tmp_path / "data" / name).exists()


def test_a_pickle_altered_on_disk_is_never_loaded(
    site: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CASES["cifar10"](monkeypatch, *site)
    read("cifar10", tmp_path)
    batch = tmp_path / "cifar10" / "cifar-10-batches-py" / "data_batch_1"
    (tmp_path / "cifar10" / "cifar-10-python.tar.gz").unlink()
    for file in site[0].iterdir():
        file.unlink()

    class Trap:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return eval, ("1 / 0",)

    batch.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataUnavailable, match="damaged"):
        read("cifar10", tmp_path)


def test_an_archive_put_there_by_hand_is_used(
    site: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CASES["cifar10"](monkeypatch, *site)
    (tmp_path / "data" / "cifar10").mkdir(parents=True)
    (site[0] / "cifar-10-python.tar.gz").rename(tmp_path / "data" / "cifar10" / "cifar-10-python.tar.gz")
    assert len(read("cifar10", tmp_path / "data").train) == TRAIN
