from dataclasses import replace

import cv2
import numpy as np
import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.skins.model import NOTHING, Function, KeyboardKind, Layer, Lettering, Rect, Theme, Tile
from skin_pipeline.skins.rendering import on_colour, render_key, render_keyboard
from skin_pipeline.skins.sheets.compose import SheetRecord, compose_sheet
from skin_pipeline.skins.sheets.conditioning import draw_outlines, lay_out, places_of_keys
from skin_pipeline.skins.sheets.layout import SHIPPED, load_layout
from skin_pipeline.skins.sheets.matting import Legend
from skin_pipeline.skins.sheets.slicing import _change_of, slice_sheet
from tests.skins.plain import CAP, PRESSED_CAP


def difference(one, other):
    """Mean difference of two keyboards' pictures, in levels."""
    pictures = [on_colour(render_keyboard(board, 480), (0, 0, 0)).astype(float) for board in (one, other)]
    return np.abs(pictures[0] - pictures[1]).mean()


@pytest.fixture(scope="module", params=SHIPPED)
def sheet(request, theme):
    return compose_sheet(theme, load_layout(request.param), 1024, name=request.param)


@pytest.fixture(scope="module")
def skin(sheet):
    record = SheetRecord.model_validate_json(sheet.record.model_dump_json())
    return slice_sheet(sheet.picture, record, name="again")


def test_sliced_skin_has_the_same_keys(theme, sheet, skin):
    for kind in sheet.record.keyboards:
        before, after = theme.keyboard(kind), skin.theme().keyboard(kind)
        assert after.size == before.size
        assert [(key.id, key.rect, key.actions) for key in after.keys] == [
            (key.id, key.rect, key.actions) for key in before.keys
        ]


def test_sliced_skin_looks_the_same(theme, sheet, skin):
    for kind in sheet.record.keyboards:
        before, after = theme.keyboard(kind), skin.theme().keyboard(kind)
        if sheet.record.layout != "whole_keyboard":
            before, after = replace(before, bar=None), replace(after, bar=None)
        # on sheets of caps legends are not shown, so they are written in the keyboard's own size
        assert difference(before, after) < (10 if sheet.record.layout == "key_elements" else 5)


def test_pressed_keys_have_the_sheets_pressed_colour(sheet, skin):
    if sheet.record.layout == "whole_keyboard":
        pytest.skip("a whole keyboard shows no pressed key")
    key = skin.theme().keyboard(KeyboardKind.PINYIN_26).keys[0]
    pressed = render_key(key, 64, state="pressed", foregrounds=False)
    assert pressed[60, 32, :3] == pytest.approx(PRESSED_CAP[:3], abs=6)


def test_keys_without_a_pressed_picture_are_shaded(theme):
    sheet = compose_sheet(theme, load_layout("whole_keyboard"), 512)
    key = slice_sheet(sheet.picture, sheet.record, name="again").theme().keyboards[0].keys[0]
    idle, pressed = (render_key(key, 64, state=state, foregrounds=False) for state in ("normal", "pressed"))
    assert idle[70, 32, :3] == pytest.approx(CAP[:3], abs=6)
    assert pressed[70, 32].mean() < idle[70, 32].mean() - 20


def test_legends_can_be_written_by_the_keyboard(theme):
    sheet = compose_sheet(theme, load_layout("four_parts"), 1024)
    board = slice_sheet(sheet.picture, sheet.record, name="again", legends="text").theme().keyboards[0]
    written = {key.id: layer.appearance.normal for key in board.keys for layer in key.foregrounds}
    assert isinstance(written["q"], Lettering)
    assert written["q"].text == "q"
    assert written["space"].text == "空格"
    assert isinstance(written["backspace"], Tile), "an icon that no typeface need have"
    assert np.mean(written["q"].colour[:3]) < 100, "in the dark ink that the sheet shows"


def test_a_sheet_of_another_size_is_refused(sheet):
    with pytest.raises(InputError, match=r"100x100 pixels.*1024x1024"):
        slice_sheet(np.zeros((100, 100, 3), np.uint8), sheet.record, name="small")


# --- what a skin lacks ----------------------------------------------------------------------------------


def test_a_skin_without_a_keyboard_is_refused_by_name(theme):
    only_26 = Theme("default", theme.keyboards[:1])
    with pytest.raises(InputError, match="pinyin_9"):
        compose_sheet(only_26, load_layout("four_parts"), 512)


def test_a_missing_element_shows_the_panel_or_leaves_the_skin_out(theme):
    layout = load_layout("key_elements")
    bare = Theme("default", tuple(replace(board, bar=None) for board in theme.keyboards))
    sheet = compose_sheet(bare, layout, 512)
    assert sheet.record.cells["navigation_bar"].is_missing
    strict = layout.model_copy(
        update={"cells": {"bar": layout.cells["navigation_bar"].model_copy(update={"otherwise": "reject"})}}
    )
    with pytest.raises(InputError, match=r"'bar'.*no bar"):
        compose_sheet(bare, strict, 512)


def unseen(theme, *functions):
    """Return a theme whose keys of some functions show nothing, as over a picture of a whole keyboard."""
    boards = (
        replace(
            board,
            keys=tuple(
                replace(key, background=Layer(NOTHING), foregrounds=()) if key.function in functions else key
                for key in board.keys
            ),
        )
        for board in theme.keyboards
    )
    return Theme("default", tuple(boards))


def test_a_key_that_shows_nothing_is_stood_in_for_by_the_next(theme):
    without = unseen(theme, Function.NUMBERS)
    cells = compose_sheet(without, load_layout("four_parts"), 512).record.cells
    assert (cells["numbers"].key, cells["numbers"].is_missing) == ("symbol", False)
    assert cells["numbers_pressed"].key == "symbol"


def test_a_skin_of_unseen_keys_gets_its_panel_or_is_refused_with_the_reason(theme):
    layout = load_layout("four_parts")
    without = unseen(theme, *Function)
    sheet = compose_sheet(without, layout, 512, name="four_parts")
    assert sheet.record.cells["numbers"].is_missing
    assert slice_sheet(sheet.picture, sheet.record, name="again").theme().keyboards
    strict = layout.cells["numbers"].model_copy(update={"otherwise": "reject"})
    with pytest.raises(InputError, match=r"no picture for the key of any of the keys numbers, .* 'numbers'"):
        compose_sheet(without, layout.model_copy(update={"cells": {"numbers": strict}}), 512)


def test_a_skin_that_shows_nothing_is_refused(theme):
    empty = tuple(replace(board, background=NOTHING, keys=(), bar=None) for board in theme.keyboards)
    with pytest.raises(InputError, match="shows nothing"):
        compose_sheet(Theme("default", empty), load_layout("whole_keyboard"), 512)


# --- the conditioning image -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_outlines_lie_where_a_composed_sheet_has_its_edges(theme, name):
    layout = load_layout(name)
    composed = compose_sheet(theme, layout, 1024, name=name)
    outlines = draw_outlines(lay_out(layout, 1024, name=name))
    assert set(np.unique(outlines)) == {0, 255}
    edges = cv2.Canny(cv2.cvtColor(composed.picture, cv2.COLOR_RGB2GRAY), 50, 80)
    near = cv2.dilate(edges, np.ones((7, 7), np.uint8)) > 0
    keys = np.zeros_like(outlines)
    for place in places_of_keys(composed.record).values():
        cv2.rectangle(
            keys, (round(place.x), round(place.y)), (round(place.right), round(place.bottom)), 255, 3
        )
    on_keys = (outlines > 0) & (keys > 0)
    if name != "key_elements":
        assert near[on_keys].mean() > 0.9


@pytest.mark.parametrize("name", SHIPPED)
def test_a_sheet_that_was_laid_out_can_be_cut_up(theme, name):
    layout = load_layout(name)
    picture = compose_sheet(theme, layout, 512, name=name).picture
    skin = slice_sheet(picture, lay_out(layout, 512, name=name), name="generated")
    assert {board.kind for board in skin.theme().keyboards} >= set(layout.keyboards)


def test_what_lifting_a_legend_left_behind_does_not_show_on_other_keys():
    before = np.full((48, 60, 3), 120, np.uint8)
    after = np.full((48, 60, 3), 80, np.uint8)
    after[20:30, 12:48] = 200
    left = Legend(np.zeros((48, 60, 4), np.uint8), Rect(12.5, 20.2, 35, 9.5), (0, 0, 0, 255))
    assert _change_of(before, after, []).max() == 80
    np.testing.assert_allclose(_change_of(before, after, [left]), -40, atol=0.5)
