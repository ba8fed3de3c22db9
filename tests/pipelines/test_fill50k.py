"""The nodes around training on circles: what is drawn is published, what is generated is measured."""

from __future__ import annotations

import json

import pytest

from skin_pipeline.datasets import FolderDataset
from skin_pipeline.errors import InputError
from skin_pipeline.items import Item, Items, encode_png
from skin_pipeline.pipelines.fill50k.nodes import draw_circles, measure_circles
from skin_pipeline.prep.fill50k import Fill50kParameters

PARAMETERS = Fill50kParameters(num_pictures=6, size_px=96, validation_share=0.5)


@pytest.fixture
def circles(tmp_path):
    dataset = FolderDataset(filepath=str(tmp_path / "circles"))
    dataset.save(draw_circles(PARAMETERS))
    return dataset.load()


def generated(tmp_path, circles, shift=0):
    """Return the held-out circles as if they had been generated, each under the caption of another."""
    rows = [json.loads(line) for line in (circles.path / "validation.jsonl").read_text().splitlines()]
    items = []
    for row, other in zip(rows, [*rows[shift:], *rows[:shift]], strict=True):
        record = {"prompt": other["text"], "seed": 0}
        items.append(Item(f"{row['skin']}/0-0", record, "0" * 64, circles.path / row["image"]))
    return Items(items)


def test_perfect_circles_are_all_right(tmp_path, circles):
    errors, scores = measure_circles(generated(tmp_path, circles), circles, PARAMETERS)
    assert [row["is_right"] for row in errors] == [True] * 3
    assert scores["right"]["estimate"] == 1
    assert scores["chance"] == 0
    assert scores["median_centre_px"] < 0.5
    json.dumps([errors, scores], allow_nan=False)


def test_circles_under_other_captions_are_in_place_and_in_the_wrong_colours(tmp_path, circles):
    _, scores = measure_circles(generated(tmp_path, circles, shift=1), circles, PARAMETERS)
    assert scores["in_place"]["estimate"] == 1
    assert scores["right_colours"]["estimate"] == 0
    assert scores["chance"] == 0.5  # of the two other captions one fits each


def test_a_picture_without_a_circle_counts_as_wrong(tmp_path, circles):
    items = generated(tmp_path, circles)
    first = next(iter(items.values()))
    path = tmp_path / "flat.png"
    path.write_bytes(encode_png(first.load_image() * 0))
    flat = Item(first.id, first.record, first.sha256, path)
    errors, scores = measure_circles(Items([flat]), circles, PARAMETERS)
    assert errors[0]["centre_px"] is None
    assert scores["right"]["estimate"] == 0
    assert scores["median_centre_px"] is None


def test_something_else_than_circles_is_refused(tmp_path, circles):
    stranger = Item("skin/0-0", {"prompt": "red circle with blue background", "seed": 0}, "0" * 64)
    with pytest.raises(InputError, match="'skin/0-0' was not generated from a circle"):
        measure_circles(Items([stranger]), circles, PARAMETERS)
