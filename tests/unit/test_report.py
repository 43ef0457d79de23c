"""The report, from the figures and datasets that a finished study leaves."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from core.context import Inputs, MemoryContext, Result
from core.images import open_dataset
from core.pictures import Row
from core.report import render_page, report, wall_rows
from core.results import in_order
from core.studies import CONSTRUCTED, ROWS
from tests.unit.finished_study import ACCURACIES, finished_study


def made(folder: Path, **study: Any) -> tuple[Result, dict[str, bytes]]:
    spec, inputs = finished_study(folder / "jobs", **study)
    result = report(spec, inputs, MemoryContext(folder / "report"))
    return result, {output.name: output.path.read_bytes() for output in result.outputs}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The report of a study with one seed."""
    return made(tmp_path_factory.mktemp("one"))[1]


def test_json_holds_every_row_in_percent(files: dict[str, bytes]) -> None:
    numbers = json.loads(files["report.json"])
    assert numbers["dataset"] == "digits"
    assert [row["name"] for row in numbers["rows"]] == list(ROWS)
    for row in numbers["rows"]:
        clean, *left = ACCURACIES[row["name"]]
        assert row["standard"] == pytest.approx(100 * clean)
        assert list(row["robust"].items()) == [
            (epsilon, pytest.approx(100 * accuracy))
            for epsilon, accuracy in zip(("0.25", "0.5", "1"), left, strict=True)
        ]
        low, high = row["interval"]["robust"]["0.5"]
        assert low <= row["robust"]["0.5"] <= high
        assert (row["n_images"], row["n_seeds"], row["interval"]["kind"]) == (360, 1, "wilson")
        assert row["spread"] is None


def test_several_seeds_give_their_mean_and_their_spread(tmp_path: Path) -> None:
    result, _ = made(tmp_path, seeds=[4, 0, 2])
    row = next(row for row in result.figures["rows"] if row["name"] == "D_R")
    values = [100 * (ACCURACIES["D_R"][2] - 0.01 * seed) for seed in (4, 0, 2)]
    assert [one["seed"] for one in row["per_seed"]] == [4, 0, 2]
    assert [one["robust"]["0.5"] for one in row["per_seed"]] == pytest.approx(values)
    assert row["robust"]["0.5"] == pytest.approx(sum(values) / 3)
    assert row["spread"]["robust"]["0.5"] == pytest.approx(2.0)
    assert row["interval"]["kind"] == "student_t"
    assert row["interval"]["robust"]["0.5"][1] - row["robust"]["0.5"] == pytest.approx(4.3027 * 2 / 3**0.5, abs=1e-3)


def test_readings_and_constructions_are_named_by_row(files: dict[str, bytes]) -> None:
    numbers = json.loads(files["report.json"])
    read = {(reading["model"], reading["dataset"]): reading for reading in numbers["readings"]}
    assert list(read) == [(model, row) for model in ("D", "D_adv") for row in CONSTRUCTED]
    assert read["D_adv", "D_rand"]["stored_where_changed"] == pytest.approx(4.0)
    assert read["D_adv", "D_R"]["stored_where_changed"] is None
    constructions = {construction["name"]: construction for construction in numbers["constructions"]}
    assert constructions["D_NR"]["nearer_to_start"] == pytest.approx(96.0)
    assert constructions["D_R"]["source"] == "D_adv"
    assert constructions["D_det"]["norm"]["mean"] == pytest.approx(1.0), "a length, not a rate: no percent"


def test_equal_results_give_equal_bytes_whatever_they_took_and_were_called(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    result, again = made(tmp_path, jobs="job_another", seconds=77.0)
    assert again == files
    assert result.figures["seconds"] == {"train": 7 * 77.0, "synthesize": 4 * 77.0, "evaluate": 7 * 77.0}
    assert b"job_" not in files["report.json"] + files["report.md"]


def test_figures_that_were_stored_in_another_order_give_the_same_numbers() -> None:
    figures = {"job": {"robust": {"l2": {"1": 0.1, "0.5": 0.2, "0.25": 0.3}}, "10": [{"b": 1, "a": 2}], "9": None}}
    ordered = in_order(figures)
    assert ordered == figures
    assert list(ordered["job"]["robust"]["l2"]) == ["0.25", "0.5", "1"]
    assert list(ordered["job"]) == ["9", "10", "robust"]
    assert list(ordered["job"]["10"][0]) == ["a", "b"]


def test_several_norms_keep_l2_on_top(tmp_path: Path) -> None:
    threats = [{"norm": "linf", "epsilons": [0.01, 0.02, 0.03]}, {"norm": "l2", "epsilons": [0.1, 0.2, 0.3]}]
    result, written = made(tmp_path, evaluation={"threats": threats})
    row = result.figures["rows"][0]
    assert list(row["robust"]) == ["0.1", "0.2", "0.3"]
    assert list(row["robust_by_norm"]) == ["l2", "linf"]
    plots = PageReader(written["report.html"]).plots
    assert plots.count("plot") == 2 + 3 + 1, "a plot of curves a norm, three of histograms, one of readings"


def test_nothing_attacked_is_a_report_too(tmp_path: Path) -> None:
    result, written = made(tmp_path, evaluation={"threats": []})
    assert result.figures["rows"][0]["robust"] == {}
    assert b"| D | 98.6" in written["report.md"]


def test_what_was_attacked_again_is_shown_and_every_caution_named(tmp_path: Path) -> None:
    spec, inputs = finished_study(tmp_path / "jobs", precision="fast", seeds=[0, 3])
    part = next(part for part in spec.parts if (part.role, part.row, part.seed) == ("evaluate", "D_R", 3))
    figures = {**inputs.figures}
    figures[part.job.name] = {**figures[part.job.name], "cautions": ["the fast attack was weaker"]}
    result = report(spec, Inputs(inputs.datasets, figures=figures), MemoryContext(tmp_path / "report"))
    row = next(row for row in result.figures["rows"] if row["name"] == "D_R")
    again = row["reattack"]["l2"]["0.5"]
    assert again["weaker_by"] == pytest.approx(0.2)
    assert again["fast"] == pytest.approx(row["robust"]["0.5"])
    assert result.figures["cautions"] == [
        {"row": "D_R", "role": "evaluate", "seed": 3, "said": "the fast attack was weaker"}
    ]
    written = {output.name: output.path.read_text() for output in result.outputs if output.role == "report"}
    assert "**Caution**, D_R, seed 3 (evaluate): the fast attack was weaker" in written["report.md"]
    assert "| D_R | l2 0.5 | 360 | 39.3 | 39.1 | 0.20 |" in written["report.md"]
    assert "seed 3 (evaluate): the fast attack was weaker" in written["report.html"]


def test_jobs_that_an_older_version_did_are_reported_too(files: dict[str, bytes], tmp_path: Path) -> None:
    spec, inputs = finished_study(tmp_path / "jobs")
    added = ("cautions", "reattack")
    figures = {job: {k: v for k, v in found.items() if k not in added} for job, found in inputs.figures.items()}
    result = report(spec, Inputs(inputs.datasets, figures=figures), MemoryContext(tmp_path / "report"))
    written = {output.name: output.path.read_bytes() for output in result.outputs}
    assert written["report.md"] == files["report.md"]
    assert written["report.html"] == files["report.html"]


def test_an_exact_study_has_nothing_to_attack_again(files: dict[str, bytes]) -> None:
    assert all(row["reattack"] is None for row in json.loads(files["report.json"])["rows"])
    assert b"in reduced precision" not in files["report.md"]


def test_markdown_says_what_is_published_and_how_surely(files: dict[str, bytes]) -> None:
    text = files["report.md"].decode()
    assert "## Published: CIFAR-10, ResNet-50; not comparable" in text
    assert "| D_R | 84 | 48 | 22 – 29 † |" in text
    assert "| D_adv | 90.83 | 82.3 – 82.5 | 70.2 |" in text
    assert "† from memory" in text
    assert "steps 50, restarts 5" in text


def test_every_attack_has_its_interval_and_every_corruption_its_mean(files: dict[str, bytes]) -> None:
    text = files["report.md"].decode()
    assert "| D | 73.9 | 98.6 | 86.3 |" in text
    assert "| D_R | l2 0.5 | 40.8 (35.8 – 45.9) | 41.8 (36.8 – 47.0) | 40.8 (35.8 – 45.9) |" in text


def test_markdown_tables_are_whole(files: dict[str, bytes]) -> None:
    width = None
    for line in files["report.md"].decode().splitlines():
        width = None if not line.startswith("|") else width or line.count("|")
        assert width is None or line.count("|") == width, line


def test_page_loads_nothing_and_every_plot_has_its_table(files: dict[str, bytes]) -> None:
    page = PageReader(files["report.html"])
    assert page.policy is not None
    assert page.policy.startswith("default-src 'none'")
    assert page.links
    assert all(link.startswith("data:") for link in page.links)
    assert page.plots == ["plot", "data", "details", "table"] * 5
    assert page.pictures == 10 * 10


def test_page_escapes_names(files: dict[str, bytes]) -> None:
    numbers = json.loads(files["report.json"])
    page = render_page(numbers, [Row("source", torch.zeros(1, 1, 2, 2), ("<script>alert(1)</script>",))])
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_wall_shows_the_same_images_in_every_dataset(tmp_path: Path) -> None:
    spec, inputs = finished_study(tmp_path)
    dataset = open_dataset(spec.study.dataset, Inputs(), tmp_path)
    rows = list(wall_rows(spec, dataset, inputs, tmp_path))
    named = {row.title: row for row in rows}
    titles = [row.title for row in rows if not row.title.startswith("what was added, x")]
    assert titles == ["source", "start", "D_R", "D_NR", "D_rand", "D_det"], "one start for both: they share it"
    assert len(rows) == len(titles) + 4
    assert named["source"].captions == tuple("0123456789")
    assert named["D_R"].captions == tuple("0123456789"), "the label of the image it stands for"
    assert named["D_det"].captions == tuple("1234567890")
    moved = (named["D_det"].images - named["source"].images).flatten(1).norm(dim=1)
    assert float(moved.max()) <= 1 + 1e-5
    blend = 0.7 * named["start"].images + 0.3 * named["source"].images
    assert torch.allclose(named["D_R"].images, blend, atol=1e-6)


def test_wall_is_a_picture(files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "wall.png"
    path.write_bytes(files["wall.png"])
    with Image.open(path) as wall:
        assert wall.format == "PNG"
        assert wall.width > 10 * 64
        assert wall.height > 10 * 64


class PageReader(HTMLParser):
    """What the tests ask of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.policy: str | None = None
        self.links: list[str] = []
        self.plots: list[str] = []
        self.pictures = 0
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [given[name] or "" for name in ("src", "href") if name in given]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        if given.get("class") == "plot":
            self.plots.append("plot")
        elif self.plots and tag == "script" and given.get("type") == "application/json":
            self.plots.append("data")
        elif self.plots and self.plots[-1] in ("data", "details") and tag in ("details", "table"):
            self.plots.append(tag)
        self.pictures += tag == "img"
