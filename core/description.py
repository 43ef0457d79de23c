"""The description of a dataset: figures, `report.json`, `.md` and `.html`, and two sheets of pictures.

What is compared: the training images with those of the source, image by image where the dataset was constructed from
it. Fractions are of images, in [0, 1]; lengths are l2 in pixel values. Equal inputs give equal files.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm

from core import pictures
from core.context import Context, Inputs, Output, Result
from core.description_report import json_document, render_markdown, render_page
from core.distributions import histogram, spread
from core.images import Images, Splits, blocks, is_there, open_dataset
from core.models import load_model
from core.neighbours import nearest
from core.pictures import Row
from core.pixels import pixel_statistics, spectrum
from core.planning import parse
from core.rounding import effect_of_rounding
from core.rounding_trial import rounding_trial
from core.seeding import generator
from core.statistics import wilson_interval
from sieve.specs import DescribeSpec, ModelRef, SynthesizeSpec

SPECTRUM_IMAGES = 10_000
"""So many images at most are transformed."""
_SHOWN = 10
"""Images of a row of the sheets."""
_NEIGHBOURS_SHOWN = 3


@dataclass(frozen=True)
class _Subject:
    """What is described, and what is known of where it came from."""

    dataset: Splits
    source: Splits | None
    made_by: SynthesizeSpec | None
    """Where it was constructed."""
    starts: Tensor | None
    """int64 [n]: the source's image that each image started from, where it was constructed from this source."""

    @property
    def train(self) -> Images:
        """What is described."""
        return self.dataset.train

    @property
    def base(self) -> Images:
        """The source's images that it was constructed from, or is to be compared with."""
        assert self.source is not None
        return self.source.test if self.made_by is not None and self.made_by.split == "test" else self.source.train


def describe(spec: DescribeSpec, inputs: Inputs, context: Context) -> Result:
    """Describe a dataset.

    Returns:
        The numbers of `report.json` as figures, and `seconds`, which are in no file.
    """
    began = time.monotonic()
    subject = _open(spec, inputs, context)
    numbers: dict[str, Any] = {
        "dataset": spec.dataset.name,
        "source": None if subject.source is None else _source_name(spec, subject),
        "construction": None if subject.made_by is None else subject.made_by.construction.model_dump(mode="json"),
        "shape": list(subject.train.pixels.shape[1:]),
        "classes": list(subject.dataset.classes),
    }
    context.progress("balance and pixels", 0, 1)
    numbers["balance"] = _balance(subject.dataset)
    numbers["pixels"] = {"dataset": pixel_statistics(subject.train)}
    numbers["spectrum"] = {"dataset": spectrum(_sample(subject.train, SPECTRUM_IMAGES, spec.seed))}
    if subject.source is not None:
        numbers["pixels"]["source"] = pixel_statistics(subject.base)
        numbers["spectrum"]["source"] = spectrum(_sample(subject.base, SPECTRUM_IMAGES, spec.seed))
    numbers["moved"] = _moved(subject, numbers["spectrum"], spec.seed, context)
    numbers["neighbours"], near = _neighbours(spec, subject, context)
    numbers["readings"] = _readings(spec, subject, inputs, context)
    numbers["rounding"] = _rounding(spec, subject, inputs, context)
    context.progress("pages", 0, 1)
    sheets = {"sheet.png": _sheet(subject)} | ({"neighbours.png": near} if near else {})
    written = {name: pictures.png(pictures.sheet(rows)) for name, rows in sheets.items()}
    files: dict[tuple[str, str, str], bytes] = {
        ("report.json", "report", "application/json"): json.dumps(json_document(numbers), indent=1).encode() + b"\n",
        ("report.md", "report", "text/markdown"): render_markdown(numbers, list(written)).encode(),
        ("report.html", "report", "text/html"): render_page(numbers, written).encode(),
        **{(name, "picture", "image/png"): content for name, content in written.items()},
    }
    outputs = []
    for (name, role, media_type), content in files.items():
        path = context.scratch / name
        path.write_bytes(content)
        outputs.append(Output(name, path, role, media_type))  # type: ignore[arg-type]
    return Result({**numbers, "seconds": time.monotonic() - began}, tuple(outputs))


def _open(spec: DescribeSpec, inputs: Inputs, context: Context) -> _Subject:
    dataset = open_dataset(spec.dataset, inputs, context.data_folder)
    told = inputs.provenance.get(spec.dataset.name)
    made_by = None if told is None else parse(told["spec"])
    made_by = made_by if isinstance(made_by, SynthesizeSpec) else None
    ref = spec.source
    if ref is None and made_by is not None and is_there(made_by.dataset, inputs):
        ref = made_by.dataset
    source = None if ref is None else open_dataset(ref, inputs, context.data_folder)
    own = made_by is not None and ref == made_by.dataset and source is not None
    starts = dataset.train.starts if own else None
    return _Subject(dataset, source, made_by, starts)


def _source_name(spec: DescribeSpec, subject: _Subject) -> str:
    if spec.source is not None:
        return spec.source.name
    assert subject.made_by is not None
    return subject.made_by.dataset.name


def _balance(dataset: Splits) -> dict[str, Any]:
    """Images of each class, by split; `ratio` of the largest class to the smallest one in training."""
    counts = {
        split: torch.bincount(images.labels, minlength=len(dataset.classes)).tolist()
        for split, images in (("train", dataset.train), ("test", dataset.test))
        if len(images)
    }
    smallest = min(counts["train"])
    return {"counts": counts, "ratio": max(counts["train"]) / smallest if smallest else None}


def _sample(images: Images, most: int, seed: int) -> Tensor:
    """Some of the images, float32 [b, C, H, W]."""
    return images.batch(_places(len(images), most, seed))


def _places(n: int, most: int, seed: int) -> Tensor:
    """At most so many places of n, in order."""
    if n <= most:
        return torch.arange(n)
    return torch.randperm(n, generator=generator(seed, "described images"))[:most].sort().values


def _moved(subject: _Subject, spectra: dict[str, Any], seed: int, context: Context) -> dict[str, Any] | None:
    """How far the images of a constructed dataset are from where they started, and from what they stand for. Puts the
    spectrum of the change beside the others."""
    if subject.starts is None or subject.source is None:
        return None
    source, train = subject.base, subject.train
    lengths: dict[str, list[Tensor]] = {"start_l2": [], "start_linf": []}
    if "start_index" in train.columns:  # else they started at the image that they stand for
        lengths["source_l2"] = []
    for block in blocks(len(train)):
        context.progress("distance to source", block.start, len(train))
        made = train.batch(block)
        change = made - source.batch(subject.starts[block])
        lengths["start_l2"].append(vector_norm(change.flatten(1), dim=1))
        lengths["start_linf"].append(change.abs().amax((1, 2, 3)))
        if "source_l2" in lengths:
            apart = made - source.batch(train.columns["source_index"][block])
            lengths["source_l2"].append(vector_norm(apart.flatten(1), dim=1))
    some = _places(len(train), SPECTRUM_IMAGES, seed)
    spectra["change"] = spectrum(train.batch(some) - source.batch(subject.starts[some]))
    whole = {name: torch.cat(parts) for name, parts in lengths.items()}
    told = {name: {**spread(values), "histogram": histogram(values)} for name, values in whole.items()}
    distance = train.columns.get("feature_distance")
    if distance is not None:
        told["features"] = {**spread(distance), "histogram": histogram(distance)}
    return told


def _neighbours(
    spec: DescribeSpec, subject: _Subject, context: Context
) -> tuple[dict[str, Any] | None, list[Row] | None]:
    """The nearest training images of the source, for a sample; and rows of pictures that show some."""
    if subject.source is None or spec.neighbours == 0:
        return None, None
    source, train = subject.base, subject.train
    chosen = _places(len(train), spec.neighbours, spec.seed)
    queries = train.batch(chosen).to(context.device)

    def tick(done: int) -> None:
        context.progress("nearest neighbours", done, 2 * len(source))

    places, distances = (part.cpu() for part in nearest(queries, source, tick=tick))
    found, apart = places[:, 0], distances[:, 0]
    own = _places(len(source), spec.neighbours, spec.seed)
    _, between = nearest(
        source.batch(own).to(context.device),
        source,
        leave_out=own.to(context.device),
        tick=lambda done: tick(len(source) + done),
    )
    labels = train.labels[chosen]
    told: dict[str, Any] = {
        "images": len(chosen),
        "distance": {**spread(apart), "histogram": histogram(apart)},
        "within_source": {**spread(between[:, 0].cpu()), "histogram": histogram(between[:, 0].cpu())},
        "identical": (apart == 0).double().mean().item(),
        "has_stored_label": (source.labels[found] == labels).double().mean().item(),
    }
    columns = train.columns
    if "original_label" in columns:
        told["has_original_label"] = (source.labels[found] == columns["original_label"][chosen]).double().mean().item()
    if subject.starts is not None:
        told["is_its_start"] = (found == subject.starts[chosen]).double().mean().item()
        told["is_its_source"] = (found == columns["source_index"][chosen]).double().mean().item()
    shown = pictures.in_class_order(train.labels, _SHOWN)
    few = train.batch(shown)
    near, how_far = nearest(few, source, _NEIGHBOURS_SHOWN)
    names = subject.dataset.classes
    rows = [Row("image, stored label", few, tuple(names[label] for label in train.labels[shown].tolist()))]
    for rank in range(near.shape[1]):
        captions = zip(source.labels[near[:, rank]].tolist(), how_far[:, rank].tolist(), strict=True)
        said = tuple(f"{subject.source.classes[label]}, {length:.2f}" for label, length in captions)
        rows.append(Row("nearest" if rank == 0 else f"{rank + 1}.", source.batch(near[:, rank]), said))
    return told, rows


@torch.no_grad()
def _readings(spec: DescribeSpec, subject: _Subject, inputs: Inputs, context: Context) -> list[dict[str, Any]]:
    """How often models read the stored labels, the changed ones among them, and the original ones."""
    refs: dict[str, str] = {}
    made_by = subject.made_by
    if made_by is not None and made_by.model.name in inputs.models:
        refs[made_by.model.name] = "source model"
    refs |= {ref.name: ref.name for ref in spec.models if isinstance(ref, ModelRef) and ref.name not in refs}
    train = subject.train
    original = train.columns.get("original_label", train.labels)
    told = []
    for number, (name, label) in enumerate(refs.items()):
        model = load_model(inputs.models[name]).to(context.device)
        parts = []
        for block in blocks(len(train)):
            context.progress("readings", number * len(train) + block.start, len(refs) * len(train))
            parts.append(model(train.batch(block).to(context.device)).argmax(1).cpu())
        read = torch.cat(parts)
        told.append({"model": name, "name": label, **_counted(read, train.labels, original)})
    return told


def _counted(read: Tensor, stored: Tensor, original: Tensor) -> dict[str, Any]:
    """Fractions with 95 % intervals (Wilson); None where there are no such images."""
    changed = stored != original
    asked = {
        "stored": read == stored,
        "stored_where_changed": (read == stored)[changed],
        "original_where_changed": (read == original)[changed],
    }
    told: dict[str, Any] = {}
    for name, flags in asked.items():
        share = flags.double().mean().item() if len(flags) else None
        interval = None if share is None else list(wilson_interval(share, len(flags)))
        told[name] = {"images": len(flags), "fraction": share, "interval": interval}
    return told


def _rounding(spec: DescribeSpec, subject: _Subject, inputs: Inputs, context: Context) -> dict[str, Any]:
    """What 8 bits a channel do: to the pixels, to perturbations and the source model's reading, to trained models."""
    told: dict[str, Any] = {"effect": None, "trial": None, "missing": None}
    made_by, source = subject.made_by, subject.source
    if (
        made_by is not None
        and source is not None
        and subject.starts is not None
        and made_by.model.name in inputs.models
    ):

        def tick(done: int) -> None:
            context.progress("judging what 8 bits do", done, len(subject.train))

        told["effect"] = effect_of_rounding(made_by, inputs, source, subject.train, tick)
    if spec.rounding is not None:
        judged = subject.dataset.test if len(subject.dataset.test) else source.test if source is not None else None
        if judged is None or not len(judged):
            told["missing"] = "there are no test images to judge models on: name a source that has some"
        else:
            told["trial"] = rounding_trial(spec.rounding, subject.dataset, judged, context)
    return told


def _sheet(subject: _Subject) -> list[Row]:
    """A few images of each class; of a constructed dataset also what they started from, and what was added."""
    train, names = subject.train, subject.dataset.classes

    def captions(labels: Tensor) -> tuple[str, ...]:
        return tuple(names[label] for label in labels.tolist())

    columns: Mapping[str, Tensor] = train.columns
    if subject.starts is None or subject.source is None:
        shown = pictures.in_class_order(train.labels, 4 * _SHOWN)
        pixels, said = train.batch(shown), captions(train.labels[shown])
        starts = range(0, len(shown), _SHOWN)
        return [Row("", pixels[at : at + _SHOWN], said[at : at + _SHOWN]) for at in starts]
    shown = pictures.in_class_order(columns["original_label"], _SHOWN)
    start = subject.base.batch(subject.starts[shown])
    difference = train.batch(shown) - start
    factor = pictures.amplification(difference)
    return [
        Row("start", start, captions(subject.base.labels[subject.starts[shown]])),
        Row("image, stored label", train.batch(shown), captions(train.labels[shown])),
        Row(f"difference, x{factor}", pictures.amplified(difference, factor)),
    ]
