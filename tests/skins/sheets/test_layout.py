import pytest
import yaml

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.skins.sheets.keyboards import KeyboardGeometry, standard_keyboards
from skin_pipeline.skins.sheets.layout import SHIPPED, load_layout


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("size_px", [512, 1024])
def test_shipped_layouts_keep_their_cells_apart_at_every_size(name, size_px):
    layout = load_layout(name)
    places = [layout.place(cell, size_px) for cell in layout.cells]
    for index, place in enumerate(places):
        assert place.right <= size_px
        assert place.bottom <= size_px
        assert all(place.intersection(other).is_empty for other in places[:index])


def layout_file(folder, cells):
    path = folder / "mine.yml"
    path.write_text(yaml.safe_dump({"size": 100, "cells": cells}))
    return str(path)


def panel(x, y, width, height):
    return {"rect": [x, y, width, height], "element": "panel", "keyboard": "pinyin_26"}


def test_a_layout_of_ones_own_is_read_from_its_path(tmp_path):
    layout = load_layout(layout_file(tmp_path, {"one": panel(0, 0, 50, 100)}))
    assert layout.place("one", 200).width == 100


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ({"one": panel(0, 0, 60, 60), "two": panel(59, 0, 40, 60)}, "'one' and 'two' overlap"),
        ({"one": panel(50, 0, 60, 60)}, "ends at 110"),
        ({"one": {**panel(0, 0, 9, 9), "element": "cap"}}, "keys"),
        ({"one": {**panel(0, 0, 9, 9), "colour": "red"}}, "colour"),
        ({}, "cells"),
    ],
)
def test_a_layout_that_cannot_be_is_refused_with_its_place(tmp_path, cells, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        load_layout(layout_file(tmp_path, cells))


def test_an_unknown_layout_names_those_there_are():
    with pytest.raises(ConfigurationError, match=r"five_parts.*whole_keyboard, four_parts, key_elements"):
        load_layout("five_parts")


def test_standard_keyboards_have_keys_on_their_panels_and_apart():
    for geometry in standard_keyboards().values():
        places = [key.place for key in geometry.keys.values()]
        for index, place in enumerate(places):
            assert place.intersection(geometry.panel) == place
            assert all(place.intersection(other).is_empty for other in places[:index])


def test_a_keyboards_geometry_survives_json(theme):
    for board in theme.keyboards:
        geometry = KeyboardGeometry.of(board)
        again = KeyboardGeometry.model_validate_json(geometry.model_dump_json())
        assert [(key.id, key.rect, key.actions) for key in again.keyboard(board.kind).keys] == [
            (key.id, key.rect, key.actions) for key in board.keys
        ]
