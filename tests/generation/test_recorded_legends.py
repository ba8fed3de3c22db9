"""Which legends are on record for the conditioning image that a picture was made on."""

import json

import pytest

from skin_pipeline.errors import IncompleteDatasetError
from skin_pipeline.generation.plan import read_rows
from skin_pipeline.generation.recorded_legends import recorded_legends
from skin_pipeline.items import Folder, Item, Items

QUAD = [[1.0, 2.0], [9.0, 2.0], [9.0, 6.0], [1.0, 6.0]]


def with_legends(published: Folder, legends: list[str], box: list[object]) -> Folder:
    """Give all skins of the held-out split some legends."""
    path = published.path / "validation.jsonl"
    rows = [json.loads(line) | {"legends": legends, "box": box} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return published


def test_legends_are_found_by_what_a_picture_states(published):
    dataset = with_legends(published, ["Q"], [QUAD])
    rows = read_rows(dataset, "validation")
    drawing = Item("whole_keyboard_1", {"legends": [{"text": "空格", "quad": QUAD}]}, "ab" * 32)
    found = recorded_legends(dataset, rows, Items([drawing]))
    assert len(found) == len(rows) + 1
    of_skin = found[rows[0].skin, dataset.files[rows[0].conditioning_image]].record
    assert of_skin == {"legends": [{"text": "Q", "quad": QUAD}], "margin": 0.115}
    of_drawing = found["whole_keyboard_1", "ab" * 32].record
    assert of_drawing == {"legends": [{"text": "空格", "quad": QUAD}], "margin": 0.0}


def test_every_legend_needs_its_quad(published):
    dataset = with_legends(published, ["Q", "W"], [QUAD])
    with pytest.raises(IncompleteDatasetError, match="has 2 legends and 1 quads"):
        recorded_legends(dataset, read_rows(dataset, "validation"), Items())
