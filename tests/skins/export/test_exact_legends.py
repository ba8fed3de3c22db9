"""Legends that are set at export, as the package shows them when it is read back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skin_pipeline.evaluation.readers import load_reader
from skin_pipeline.generation.recorded_legends import legends_of_drawing
from skin_pipeline.items import Folder, Item, Items, Output, encode_png
from skin_pipeline.prep.control_images import ControlImageParameters, plan_control_images
from skin_pipeline.skins.export.stages import ExportParameters, plan_export
from skin_pipeline.skins.model import Keyboard
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.rendering import on_colour, render_keyboard
from skin_pipeline.skins.sheets.conditioning import lay_out, places_of_keys
from skin_pipeline.skins.sheets.layout import load_layout

LAYOUT, SIZE_PX, WIDTH_PX = "whole_keyboard", 512, 720
CONTROL = "cd" * 32
READ = {"空格": "space", "前往": "enter", "123": "numbers"}
"""What is to be read on which function's key."""


def draw_bare_keys(path: Path) -> Path:
    """Draw light keys without legends on a dark panel."""
    picture = np.full((SIZE_PX, SIZE_PX, 3), (40, 60, 90), np.uint8)
    for place in places_of_keys(lay_out(load_layout(LAYOUT), SIZE_PX, name=LAYOUT)).values():
        top, bottom, left, right = map(round, (place.y, place.bottom, place.x, place.right))
        picture[top + 3 : bottom - 3, left + 3 : right - 3] = (230, 235, 240)
    path.write_bytes(encode_png(picture))
    return path


@pytest.fixture
def exported(tmp_path):
    """Return the function that packs the bare keys and reads the package back."""
    plan = plan_control_images(ControlImageParameters(layouts=(LAYOUT,)))
    [task] = plan.tasks()
    [drawn] = plan.make_worker()([task])
    drawing = Item(task.id, drawn.record, CONTROL)
    record = {
        "prompt": "light keys",
        "weights_digest": "ab" * 32,
        "settings": {"size_px": [SIZE_PX, SIZE_PX]},
        "conditioning": drawing.id,
        "conditioning_sha256": CONTROL,
        "outlines_of": drawn.record["outlines_of"],
    }
    picture = Item(f"{drawing.id}/1", record, "ef" * 32, draw_bare_keys(tmp_path / "picture.png"))

    def export(**parameters: object) -> Keyboard:
        plan = plan_export(
            "hamster",
            Items([picture]),
            Items(),
            Items(),
            Folder(tmp_path, "", {}),
            ExportParameters(**parameters),
            {(drawing.id, CONTROL): legends_of_drawing(drawing)},
        )
        [made] = plan.make_worker()(plan.tasks())
        assert isinstance(made, Output), made
        package = tmp_path / "skin.cskin"
        package.write_bytes(made.content)
        return read_skin(package).theme().keyboards[0]

    return export


def read(board: Keyboard) -> list[str]:
    """Read the drawn keyboard's keys whose legend is a word."""
    picture = on_colour(render_keyboard(board, WIDTH_PX), (255, 255, 255))
    unit = WIDTH_PX / board.bounds.width
    crops = []
    for function in READ.values():
        place = next(key.rect for key in board.keys if key.function == function)
        middle = replace(place, y=place.y + place.height / 5, height=place.height * 3 / 5)
        top, bottom = (round((y - board.bounds.y) * unit) for y in (middle.y, middle.bottom))
        left, right = (round((x - board.bounds.x) * unit) for x in (middle.x, middle.right))
        crops.append(picture[top:bottom, left:right])
    return [text for text, _ in load_reader("ppocr").recognize(crops)]


def test_composited_legends_can_be_read_in_the_package(exported):
    assert read(exported(legends="composited")) == list(READ)


def test_legends_that_were_not_generated_are_not_in_the_package(exported):
    assert not set(read(exported(legends="pictures"))) & set(READ)
