"""Picture sheets: which images, enlarged how, with what said below."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from core.pictures import Row, amplification, amplified, constructed_sheet, in_class_order, png, sheet, tile


def test_first_image_of_each_class_then_the_second() -> None:
    labels = torch.tensor([2, 2, 0, 1, 0, 2])
    assert in_class_order(labels, 3).tolist() == [2, 3, 0]
    assert in_class_order(labels, 5).tolist() == [2, 4, 3, 0, 1]
    assert in_class_order(labels, 10).tolist() == [2, 4, 3, 0, 1, 5], "no more than there are"


@pytest.mark.parametrize(("largest", "factor"), [(0.004, 100), (0.05, 10), (0.06, 5), (0.3, 1), (0.9, 1)])
def test_amplification_keeps_the_difference_visible(largest: float, factor: int) -> None:
    difference = torch.linspace(-largest, largest, 1001).reshape(1, 1, 7, 143)
    assert amplification(difference) == factor


def test_no_difference_is_grey() -> None:
    assert amplified(torch.tensor([0.0, 0.1, -0.1]), 3).tolist() == pytest.approx([0.5, 0.8, 0.2])


def test_enlarged_without_smoothing() -> None:
    image = torch.tensor([[[0.0, 1.0], [0.2, 0.6]]])
    enlarged = tile(image, longest=9)
    assert enlarged.size == (8, 8), "a whole number of times"
    assert {enlarged.getpixel((x, y)) for x in range(4) for y in range(4)} == {(0, 0, 0)}
    assert {enlarged.getpixel((x, y)) for x in range(4, 8) for y in range(4, 8)} == {(153, 153, 153)}


def test_colour_stays_colour() -> None:
    image = torch.zeros(3, 2, 2)
    image[0] = 1
    assert tile(image, longest=1).getpixel((0, 0)) == (255, 0, 0)


def test_sheet_of_a_construction() -> None:
    source = torch.zeros(3, 1, 4, 4)
    result = source + 0.05
    labels = torch.tensor([0, 1, 2])
    arguments = {"source": source, "result": result, "original_labels": labels, "labels": labels}
    three = constructed_sheet(**arguments, classes=("a", "b", "a very long name of a class"))
    four = constructed_sheet(**arguments, classes=("a", "b", "c"), start=source + 0.05)
    assert four.height > three.height, "a start that is another image has its own row"
    amplified_grey = round(255 * (0.5 + 10 * 0.05))
    assert (amplified_grey,) * 3 in {colour for _, colour in three.getcolors(100_000)}
    assert (128,) * 3 in {colour for _, colour in four.getcolors(100_000)}, "the difference is from the start"


def test_equal_rows_give_equal_bytes_and_a_file_that_opens() -> None:
    row = Row("a row", torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), ("one", "two"))
    written = png(sheet([row]))
    assert written == png(sheet([row]))
    with Image.open(io.BytesIO(written)) as image:
        assert image.size == sheet([row]).size
