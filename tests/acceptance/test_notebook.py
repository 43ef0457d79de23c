"""What objects show in a notebook: complete HTML, escaped, with nothing from elsewhere."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from sieve import Client, cache
from sieve.notebook.cards import conclusion, figures, study_report
from sieve.notebook.plots import Line, lines
from sieve.specs import TrainSpec
from tests.hand import Hand

TRAIN = TrainSpec.model_validate({"dataset": "digits", "architecture": "convnet", "epochs": 2})
VOID = {"img", "circle", "line", "rect", "polyline", "br"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIEVE_CACHE", str(tmp_path / "cache"))


class Page(HTMLParser):
    """Text and tags; every tag must be closed, and nothing may be fetched or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert not self.open
        for tag, attributes in self.tags:
            assert tag not in ("script", "link", "iframe")
            for name, value in attributes.items():
                assert not name.startswith("on")
                if name in ("src", "href"):
                    assert str(value).startswith("data:")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data + " "

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def report() -> dict[str, Any]:
    def row(name: str, standard: float, robust: float) -> dict[str, Any]:
        held = {"0.25": robust, "0.5": robust / 2}
        return {"name": name, "standard": standard, "robust": held, "robust_by_norm": {"l2": held}} | {
            "n_images": 360,
            "n_seeds": 1,
        }

    reading = {"model": "D", "dataset": "D_R", "stored": 94.0, "stored_where_changed": None}
    return {
        "dataset": "digits",
        "chance": 10.0,
        "norm": "l2",
        "rows": [row("D", 97.5, 81.1), row("D_R", 96.9, 79.7)],
        "readings": [reading, reading | {"model": "D_adv"}],
        "cautions": [],
    }


def test_a_job_is_a_card(client: Client, hand: Hand) -> None:
    job = client.submit(TRAIN, name="<b>mine</b>")
    attempt = hand.take()
    attempt.progress("training", 1, 4)
    page = Page(job.refresh()._repr_html_())
    assert "<b>mine</b>" in page.text
    assert "running" in page.text
    assert "25% · training" in page.text
    assert ("i", {"style": "width:25.0%;background:#3f7fbf"}) in page.tags
    attempt.fail("the loss is <not> a number")
    assert "the loss is <not> a number" in Page(job.refresh()._repr_html_()).text


def test_a_study_is_its_parts_and_then_its_table_and_plots(client: Client, hand: Hand) -> None:
    study = client.submit({"kind": "study", "preset": "digits"})
    assert "0/synthesize/D_R" in Page(study.refresh()._repr_html_()).text
    hand.do_everything()
    Page(study.refresh()._repr_html_())
    page = Page(study_report(report()))
    assert page.count("tr") == 3
    assert page.count("svg") == 2
    assert page.count("polyline") == 2
    assert page.count("rect") == 2
    assert "97.5" in page.text


def test_a_follow_up_is_its_claims() -> None:
    control = {"what": "shuffled labels", "held": False, "said": ""}
    claim = {"name": "x", "claim": "D_rand <transfers>", "held": True, "decided": True, "said": "", "control": control}
    table = {"title": "Accuracy", "columns": ["on", "%"], "rows": [["D", "97.5"]], "note": ""}
    page = Page(conclusion({"question": "Does it?", "claims": [claim], "tables": [table]}))
    assert "D_rand <transfers>" in page.text
    assert "shuffled labels: did not hold" in page.text
    assert page.count("table") == 2


def test_a_dataset_is_a_sheet_and_a_torch_dataset_and_fetched_once(
    client: Client, hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = torch.rand(6, 1, 4, 4)
    tensors = {"images": pixels, "labels": torch.arange(6) % 3, "source_index": torch.arange(6)}
    tensors |= {"test_images": torch.full((2, 1, 4, 4), 255, dtype=torch.uint8), "test_labels": torch.zeros(2).long()}
    header = {"format": "dataset", "version": 1, "classes": ["a", "b", "c"]}
    save_file(tensors, tmp_path / "d.safetensors", metadata={"feature_sieve": json.dumps(header)})
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "sheet.png")
    source = client.submit(TRAIN)
    spec = {"kind": "synthesize", "dataset": "digits", "model": source.id, "construction": {"method": "robust"}}
    made = client.submit(spec)
    hand.take().succeed({}, model=b"weights")
    sheet = (tmp_path / "sheet.png").read_bytes()
    hand.take().succeed({}, dataset=(tmp_path / "d.safetensors").read_bytes(), picture=sheet)
    dataset = client.dataset(made.refresh().outputs["dataset"])
    page = Page(dataset._repr_html_())
    assert page.count("img") == 1
    assert dataset.id in page.text

    fetched: list[str] = []
    download = client.transport.download
    monkeypatch.setattr(
        client.transport, "download", lambda url, *rest, **more: (fetched.append(url), download(url, *rest, **more))[1]
    )
    train = dataset.to_torch()
    assert isinstance(train, torch.utils.data.Dataset)
    assert len(train) == 6
    assert torch.equal(train[3][0], pixels[3])
    assert train[4][1] == 1
    assert train.classes == ("a", "b", "c")
    assert train.columns["source_index"].tolist() == list(range(6))
    images, labels = next(iter(DataLoader(train, batch_size=4)))
    assert (images.shape, labels.tolist()) == ((4, 1, 4, 4), [0, 1, 2, 0])
    assert float(dataset.to_torch("test", transform=lambda image: image / 2)[0][0].max()) == 0.5
    assert len(fetched) == 1

    cache.cached_path(dataset.sha256 or "").write_bytes(b"somebody was here")
    assert len(dataset.to_torch()) == 6
    assert len(fetched) == 2, "what was changed is no longer that file"
    cache.cached_path(dataset.sha256 or "").unlink()
    path = dataset.download(tmp_path / "elsewhere" / "mine.safetensors")
    assert len(dataset.to_torch()) == 6
    assert len(fetched) == 3, "what was downloaded elsewhere is read there"
    path.unlink()
    assert len(dataset.to_torch()) == 6
    assert len(fetched) == 4


def test_what_is_no_file_says_so(client: Client) -> None:
    digits = client.dataset("digits")
    assert "digits" in Page(digits._repr_html_()).text
    with pytest.raises(ValueError, match="only what a job made"):
        digits.to_torch()


def test_a_model_is_its_figures(client: Client, hand: Hand) -> None:
    job = client.submit(TRAIN)
    attempt = hand.take()
    attempt.record(points=[("loss", 1, 2.0), ("loss", 2, float("nan")), ("validation", 1, 0.5), ("validation", 2, 0.9)])
    attempt.succeed({"validation": {"standard": 0.975, "robust": None}, "parameters": 6274}, model=b"weights")
    page = Page(client.model(job.refresh().outputs["model"])._repr_html_())
    assert "97.5 %" in page.text
    assert "6,274" in page.text
    assert page.count("svg") == 2


def test_figures_are_named_by_their_path() -> None:
    told = {
        "robust": {"l2": {"0.5": 0.25}},
        "images": 1000,
        "loss": 0.0039549,
        "cautions": [],
        "validation": {"a": None},
    }
    assert dict(figures(told)) == {"robust l2 0.5": "25.0 %", "images": "1,000", "loss": "0.003955"}


def test_a_plot_of_nothing_is_nothing() -> None:
    assert lines([Line("loss", [(1, float("nan"))])], x="epoch", y="loss") == ""
    assert "<svg" in lines([Line("loss", [(1, 0.0)])], x="epoch", y="loss")
