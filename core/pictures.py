"""Picture sheets as PNG: rows of images, enlarged without smoothing, with captions.

Images are float tensors [n, C, H, W] in [0, 1], C = 1 (grey) or 3 (RGB). Equal tensors give equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

TILE = 72
"""Images are enlarged by the largest whole number that keeps their longer side within this many screen pixels."""

_AMPLIFICATIONS = (100, 50, 20, 10, 5, 2)
_GAP = 6
_MARGIN = 12
_CAPTION_HEIGHT = 16
_INK = (38, 38, 36)
_FAINT_INK = (110, 108, 102)
_PAPER = (255, 255, 255)


@dataclass(frozen=True)
class Row:
    """One row of a sheet."""

    title: str
    """Said once, on the left."""
    images: Tensor
    """[n, C, H, W] in [0, 1]."""
    captions: tuple[str, ...] = ()
    """One below each image; none when empty."""


def in_class_order(labels: Tensor, count: int = 10) -> Tensor:
    """Positions of `count` images for a sheet: the first of class 0, of class 1, ..., then the second of each.

    Args:
        labels: int64 [n].

    Returns:
        int64 [min(count, n)], ordered by class; the choice depends on the labels alone.
    """
    ranked: list[tuple[int, int, int]] = []
    seen: dict[int, int] = {}
    for position, label in enumerate(labels.tolist()):
        ranked.append((seen.get(label, 0), label, position))
        seen[label] = seen.get(label, 0) + 1
    chosen = sorted(ranked)[:count]
    return torch.tensor([position for _, _, position in sorted(chosen, key=lambda item: item[1:])], dtype=torch.int64)


def amplification(difference: Tensor) -> int:
    """The largest of 1, 2, 5, 10, ... 100 by which 99 % of a difference's values stay visible without clipping."""
    largest = float(torch.quantile(difference.abs().flatten().double()[:1_000_000], 0.99))
    return next((factor for factor in _AMPLIFICATIONS if factor * largest <= 0.5), 1)


def amplified(difference: Tensor, factor: int) -> Tensor:
    """A difference in [-1, 1] as an image in [0, 1]: mid-grey where there is none, `factor` times it elsewhere."""
    return (0.5 + factor * difference).clamp(0, 1)


def constructed_sheet(
    *,
    source: Tensor,
    result: Tensor,
    original_labels: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    start: Tensor | None = None,
) -> Image.Image:
    """What a construction did to a few images: source, start (where it is another image), result, difference.

    The difference is result - start (result - source where there is no start), amplified by a factor that its row
    states. Choose the images with `in_class_order(original_labels)`, ten of them read well, and save with `png`:

        chosen = in_class_order(original_labels)
        sheet = constructed_sheet(source=x[chosen], start=x[start_index[chosen]], result=z[chosen], ...)
        path.write_bytes(png(sheet))

    Args:
        source: the images x that the result stands for, [n, C, H, W] in [0, 1].
        result: the constructed images, same shape.
        original_labels: labels of the source images, int64 [n].
        labels: the labels stored with the result, int64 [n].
        classes: class names.
        start: the images that the construction started from, same shape; None where it started at the source.
    """

    def names(values: Tensor) -> tuple[str, ...]:
        return tuple(classes[value] for value in values.tolist())

    difference = (result - (source if start is None else start)).float().cpu()
    factor = amplification(difference)
    rows = [Row("source", source, names(original_labels))]
    if start is not None:
        rows.append(Row("start", start))
    rows.append(Row("result, stored label", result, names(labels)))
    rows.append(Row(f"difference, x{factor}", amplified(difference, factor)))
    return sheet(rows)


def sheet(rows: Sequence[Row]) -> Image.Image:
    """Lay rows of equally shaped images out below each other, titles on the left, captions below the images."""
    title_font = ImageFont.load_default(13)
    caption_font = ImageFont.load_default(11)
    tiles = [[tile(image) for image in row.images] for row in rows]
    width, height = tiles[0][0].size
    title_width = max(int(title_font.getlength(row.title)) for row in rows) + 2 * _GAP
    row_heights = [height + (_CAPTION_HEIGHT if row.captions else 0) + _GAP for row in rows]
    page = Image.new(
        "RGB",
        (2 * _MARGIN + title_width + max(map(len, tiles)) * (width + _GAP) - _GAP, 2 * _MARGIN + sum(row_heights)),
        _PAPER,
    )
    pen = ImageDraw.Draw(page)
    top = _MARGIN
    for row, row_tiles, row_height in zip(rows, tiles, row_heights, strict=True):
        pen.text((_MARGIN, top + height // 2), row.title, fill=_INK, font=title_font, anchor="lm")
        for column, image in enumerate(row_tiles):
            left = _MARGIN + title_width + column * (width + _GAP)
            page.paste(image, (left, top))
            if row.captions:
                caption = _shortened(row.captions[column], caption_font, width + _GAP)
                pen.text(
                    (left + width // 2, top + height + 2), caption, fill=_FAINT_INK, font=caption_font, anchor="ma"
                )
        top += row_height
    return page


def tile(image: Tensor, longest: int = TILE) -> Image.Image:
    """One image [C, H, W] in [0, 1] as RGB, enlarged by a whole number to at most `longest` screen pixels a side."""
    _, height, width = image.shape
    enlarged = max(1, longest // max(height, width))
    levels = (image.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    pixels = levels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels).resize((width * enlarged, height * enlarged), Image.Resampling.NEAREST)


def png(image: Image.Image) -> bytes:
    """An image's PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """`text`, cut with an ellipsis where it is wider than `width` screen pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
