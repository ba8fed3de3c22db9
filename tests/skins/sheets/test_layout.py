from dataclasses import replace

import pytest
import yaml

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.skins.model import (
    Action,
    Appearance,
    CandidateBar,
    Function,
    Gesture,
    Key,
    Keyboard,
    KeyboardKind,
    KeyList,
    Layer,
    Lettering,
    Rect,
)
from skin_pipeline.skins.sheets.keyboards import KeyboardGeometry, standard_keyboards
from skin_pipeline.skins.sheets.layout import SHIPPED, load_layout
from tests.skins.plain import plain_keyboard


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


# --- geometry of a skin's keyboards ---------------------------------------------------------------------


def key(key_id, text, legend="", code="", function=Function.TEXT):
    written = Lettering(legend, 30, (0, 0, 0, 255))
    hint = Lettering("hint", 9, (0, 0, 0, 255))
    layers = (Layer(Appearance(hint, hint)), Layer(Appearance(written, written))) if legend else ()
    tap = {Gesture.TAP: Action(function, text)}
    return Key(key_id, Rect(0, 0, 9, 9), Rect(0, 0, 9, 9), foregrounds=layers, actions=tap, code=code)


def labels(kind, *keys, **parts):
    board = Keyboard(kind, "board", "portrait", (100, 50), keys=keys, **parts)
    return {name: each.label for name, each in KeyboardGeometry.of(board).keys.items()}


def test_a_key_is_labelled_with_what_is_written_on_it():
    board = [key("a", "2", "ABC"), key("b", "q", "Q"), key("c", "", "完成", function=Function.ENTER)]
    assert labels(KeyboardKind.PINYIN_9, *board) == {"a": "ABC", "b": "Q", "c": "完成"}


def test_pictured_keys_of_nine_have_the_letters_of_their_digit():
    nine = KeyboardKind.PINYIN_9
    assert labels(nine, key("a", "2"), key("b", "9")) == {"a": "ABC", "b": "WXYZ"}
    assert labels(nine, key("a", "b", code="2", function=Function.LETTER)) == {"a": "ABC"}
    assert labels(nine, key("a", "abc", code="2")) == {"a": "abc"}
    assert labels(nine, key("a", "2"), key("b", "q", function=Function.LETTER)) == {"a": "2", "b": "q"}
    assert labels(KeyboardKind.NUMBERS_9, key("a", "2")) == {"a": "2"}


def test_every_standard_keyboard_keeps_its_labels_and_codes():
    for kind in standard_keyboards():
        board = plain_keyboard(kind)
        coded = replace(board, keys=tuple(replace(each, code="7") for each in board.keys))
        again = KeyboardGeometry.of(coded)
        assert [each.label for each in again.keys.values()] == [
            each.label for each in standard_keyboards()[kind].keys.values()
        ]
        assert {each.code for each in again.keyboard(kind).keys} == {"7"}


def test_a_row_that_scrolls_stays_one_and_a_bar_that_comes_and_goes_does():
    row = KeyList(Rect(0, 40, 90, 10), "row", (30, 10), entries=("a", "b", "c", "d"))
    bar = CandidateBar(Rect(0, -10, 100, 10), always_shown=False)
    board = Keyboard(KeyboardKind.PINYIN_9, "b", "portrait", (100, 50), bar=bar, lists=(row,))
    geometry = KeyboardGeometry.of(board)
    again = geometry.keyboard(board.kind)
    assert again.lists[0].cells() == row.cells()
    assert not again.bar.always_shown
    assert geometry.bounds == board.bounds == Rect(0, 0, 100, 50)
