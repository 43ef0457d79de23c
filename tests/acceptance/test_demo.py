"""The demo on digits, whole: its exit, its files, and the paper's effect in its table."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import foolbox
import pytest

from core.context import Inputs
from core.images import open_dataset
from core.models import load_model
from local.home import CHECKOUT
from sieve.specs import DatasetRef

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def out() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sieve-demo-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        command = [sys.executable, "-m", "local", "demo", "--out", str(folder / "out")]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "D_rand_permuted" in done.stdout
        yield folder / "out"


@pytest.fixture(scope="module")
def report(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out / "report.json").read_text())
    return loaded


def test_leaves_every_file_whole(out: Path) -> None:
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file() and "data" not in path.parts}
    assert {"report.json", "report.md", "report.html", "SHA256SUMS", "sheets/wall.png"} <= names
    for row in ("D_R", "D_NR", "D_rand", "D_det"):
        assert {f"datasets/{row}.safetensors", f"models/{row}.safetensors", f"sheets/{row}.png"} <= names
    for line in (out / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


def test_shows_the_effect(report: dict[str, Any]) -> None:
    standard = {row["name"]: row["standard"] for row in report["rows"]}
    robust = {row["name"]: row["robust"]["0.5"] for row in report["rows"]}
    assert list(standard) == ["D", "D_adv", "D_R", "D_NR", "D_rand", "D_det", "D_rand_permuted"]
    assert robust["D_adv"] >= 65
    assert robust["D_R"] >= robust["D"] + 10
    assert standard["D_NR"] >= 85
    assert robust["D_NR"] < robust["D_R"] - 10
    assert standard["D_rand"] >= 40
    assert robust["D_rand"] <= 5
    assert standard["D_rand"] >= standard["D_rand_permuted"] + 20
    assert standard["D_det"] >= 15
    assert next(row["shifted"] for row in report["rows"] if row["name"] == "D_det") > standard["D_det"]


def test_the_labels_are_read_off_as_the_paper_says(report: dict[str, Any]) -> None:
    stored = {row["dataset"]: row for row in report["readings"] if row["model"] == "D_adv"}
    assert stored["D_R"]["stored"] >= 90
    assert stored["D_NR"]["stored"] <= 50
    assert stored["D_rand"]["stored_where_changed"] <= 15
    made = {row["name"]: row for row in report["constructions"]}
    assert made["D_NR"]["nearer_to_start"] >= 90


def test_says_how_long_it_took(report: dict[str, Any]) -> None:
    assert report["dataset"] == "digits"
    assert 0 < report["seconds"] < 600


@pytest.mark.parametrize("row", ["D", "D_adv", "D_R", "D_NR", "D_rand", "D_det"])
def test_foolbox_is_never_stronger_than_the_report(out: Path, report: dict[str, Any], row: str) -> None:
    model = load_model(out / "models" / f"{row}.safetensors")
    test = open_dataset(DatasetRef(name="digits"), Inputs(), out).test
    seen = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    said = next(found["robust"] for found in report["rows"] if found["name"] == row)
    for epsilon in (0.25, 0.5):
        attack = foolbox.attacks.L2PGD(steps=100, rel_stepsize=0.05)
        _, _, success = attack(seen, test.batch(slice(None)), test.labels, epsilons=epsilon)
        survived = 100 * (1 - success.double().mean().item())
        assert survived >= said[f"{epsilon:g}"] - 1
