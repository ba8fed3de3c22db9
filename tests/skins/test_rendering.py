from dataclasses import replace

import numpy as np
import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.skins.model import (
    Appearance,
    Atlas,
    Condition,
    Fill,
    Insets,
    Key,
    Keyboard,
    KeyboardKind,
    Layer,
    Lettering,
    Rect,
    Tile,
    Typeface,
)
from skin_pipeline.skins.rendering import (
    on_colour,
    render_bar,
    render_key,
    render_keyboard,
    render_paint,
    render_panel,
)
from skin_pipeline.typefaces import font_path
from tests.skins.packages import BLUE, GREEN, RED, WHITE, baidu_files

CORNER, EDGE, MIDDLE = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)


def patch(scale=1.0, insets=None):
    """A nine-patch of 5x5 pixels: red corners, green edges, a blue middle."""
    pixels = np.zeros((5, 5, 4), np.uint8)
    pixels[:] = EDGE
    pixels[::4, ::4] = CORNER
    pixels[1:4, 1:4] = MIDDLE
    return Tile(Atlas("patch", pixels), Rect(0, 0, 5, 5), "nine_patch", insets or Insets(1, 1, 1, 1), scale)


@pytest.fixture
def board(read):
    return read(baidu_files()).theme().keyboard(KeyboardKind.PINYIN_26)


def at(picture, x, y):
    return tuple(int(value) for value in picture[y, x])


# --- paints ---------------------------------------------------------------------------------------------


def test_a_nine_patch_keeps_its_corners_and_stretches_the_rest():
    picture = render_paint(patch(), (12, 9))
    assert picture.shape == (9, 12, 4)
    for y in (0, 8):
        for x in (0, 11):
            assert at(picture, x, y) == CORNER
    assert (picture[0, 1:-1] == EDGE).all()
    assert (picture[1:-1, 0] == EDGE).all()
    assert (picture[1:-1, 1:-1] == MIDDLE).all()


def test_the_corners_of_a_nine_patch_scale_with_the_design():
    picture = render_paint(patch(scale=2.0), (20, 20), unit_px=1.5)
    assert (picture[:3, :3] == CORNER).all()
    assert (picture[3:-3, 3:-3] == MIDDLE).all()


def test_corners_without_room_shrink():
    picture = render_paint(patch(insets=Insets(2, 2, 2, 2), scale=5), (6, 6))
    assert picture.shape == (6, 6, 4)
    assert at(picture, 0, 0)[3] == 255


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_nine_patches_may_be_tiny(size):
    assert (render_paint(patch(), size)[..., 3] == 255).all()


def test_a_tile_of_its_own_size_is_drawn_in_the_middle_pixel_by_pixel():
    tile = replace(patch(), fit="centre")
    picture = render_paint(tile, (11, 9))
    assert (picture[2:7, 3:8] == tile.crop()).all()
    assert picture[..., 3].sum() == 25 * 255


def test_a_tile_larger_than_its_place_is_not_cut_there():
    tile = replace(patch(scale=4.0), fit="centre")
    key = Key("k", Rect(10, 10, 4, 4), Rect(10, 10, 4, 4), Layer(Appearance(tile, None)))
    board = Keyboard(KeyboardKind.CUSTOM, "b", "portrait", (40, 30), keys=(key,))
    drawn = render_keyboard(board, 40)[..., 3] > 0
    assert drawn.sum() == 20 * 20
    assert drawn[2:22, 2:22].all()


def test_a_stretched_tile_fills_its_place():
    picture = render_paint(replace(patch(), fit="stretch"), (10, 10))
    assert (picture[..., 3] == 255).all()
    assert at(picture, 5, 5) == MIDDLE


def test_transparent_pixels_do_not_bleed_when_resized():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0] = (*WHITE, 255)
    pixels[1, :, :3] = RED  # red, but not there
    picture = render_paint(Tile(Atlas("a", pixels), Rect(0, 0, 2, 2), "stretch"), (8, 8))
    seen = picture[picture[..., 3] > 8]
    assert np.abs(seen[:, :3].astype(int) - WHITE).max() <= 4


def test_fills_may_be_translucent_and_rounded():
    plain = render_paint(Fill((10, 20, 30, 128)), (4, 4))
    assert np.abs(plain.astype(int) - (10, 20, 30, 128)).max() <= 1
    rounded = render_paint(Fill((*RED, 255), 10, (*BLUE, 255), 2), (40, 30))
    assert at(rounded, 0, 0)[3] == 0
    assert at(rounded, 20, 0) == (*BLUE, 255)
    assert at(rounded, 20, 15) == (*RED, 255)


def test_text_is_centred_and_follows_the_scale():
    letter = Lettering("国", 40, (255, 255, 255, 255))
    small, large = (render_paint(letter, (60 * k, 60 * k), unit_px=k) for k in (1, 2))
    for picture, unit in ((small, 1), (large, 2)):
        rows, columns = np.nonzero(picture[..., 3] > 128)
        assert abs((columns.min() + columns.max()) / 2 - 30 * unit) < 3 * unit
        assert abs((rows.min() + rows.max()) / 2 - 30 * unit) < 5 * unit
        assert 30 * unit < columns.max() - columns.min() < 42 * unit


def test_bold_text_has_more_ink():
    ink = [
        render_paint(Lettering("国", 40, (0, 0, 0, 255), weight), (60, 60))[..., 3].sum()
        for weight in (400, 700)
    ]
    assert ink[1] > ink[0] * 1.1


def test_what_the_font_lacks_is_left_out():
    assert render_paint(Lettering("\ue000", 40, (0, 0, 0, 255)), (60, 60)).max() == 0
    assert render_paint(Lettering("", 40, (0, 0, 0, 255)), (60, 60)).max() == 0


def test_a_package_may_bring_its_own_font():
    own = Typeface("own.ttf", font_path("rounded").read_bytes())
    broken = Typeface("broken.ttf", b"not a font")
    pictures = [
        render_paint(Lettering("g", 40, (0, 0, 0, 255), typeface=face), (60, 60))
        for face in (None, own, broken)
    ]
    assert not (pictures[0] == pictures[1]).all()
    assert (pictures[0] == pictures[2]).all()


# --- keyboards ------------------------------------------------------------------------------------------


def test_a_keyboard_is_drawn_with_its_bar_above(board):
    picture = on_colour(render_keyboard(board, 200), (0, 0, 0))
    assert picture.shape == (130, 200, 3)
    assert at(picture, 5, 15) == RED  # the bar
    assert at(picture, 190, 15) == BLUE  # its icon
    assert at(picture, 5, 60) == (0x40, 0x40, 0x40)  # the panel
    assert at(picture, 20, 60) == RED  # a key
    assert at(picture, 40, 70) == BLUE  # its foreground, 10 above its centre
    assert at(picture, 60, 90) == RED  # a foreground that is there only when pressed


def test_pressed_keys_show_their_pressed_state(board):
    picture = on_colour(render_keyboard(board, 200, pressed=["KEY1"]), (0, 0, 0))
    assert at(picture, 20, 60) == GREEN
    assert at(picture, 60, 90) == WHITE
    assert at(picture, 80, 60) == RED


def test_only_pressed_keys_change(board):
    idle, pressed = render_keyboard(board, 400), render_keyboard(board, 400, pressed=["KEY2"])
    rows, columns = np.nonzero((idle != pressed).any(axis=2))
    assert (columns.min(), columns.max() + 1) == (140, 260)
    assert (rows.min(), rows.max() + 1) == (80, 240)


@pytest.mark.parametrize("width", [37, 200, 333, 1080])
def test_any_width_will_do(board, width):
    picture = render_keyboard(board, width)
    assert picture.shape == (round(width * 130 / 200), width, 4)
    assert at(picture, width // 10, picture.shape[0] // 2)[:3] == RED


def test_a_stretched_panel_stretches_places_but_not_pictures(board):
    picture = on_colour(render_keyboard(board, 200, height_px=260), (0, 0, 0))
    blue = (picture == BLUE).all(axis=2)
    blue[:60] = False  # the bar's icon
    rows, columns = np.nonzero(blue[:, :70])
    assert (columns.max() - columns.min() + 1, rows.max() - rows.min() + 1) == (10, 10)
    assert abs(rows.mean() - 2 * (30 + 50 - 10)) < 1


def test_conditions_change_keys(board):
    shown = on_colour(render_keyboard(board, 200, conditions=[Condition.COMPOSING]), (0, 0, 0))
    assert at(shown, 20, 60) != RED


def test_candidates_appear_on_the_bar_and_icons_give_way(board):
    picture = on_colour(render_keyboard(board, 200, candidates=["你好", "hi"]), (0, 0, 0))
    assert at(picture, 190, 15) == RED
    assert (picture[:30, :100] > 240).all(axis=2).sum() > 50


def test_a_bar_that_comes_and_goes_is_drawn_only_with_candidates(board):
    board = replace(board, bar=replace(board.bar, always_shown=False))
    assert render_keyboard(board, 200).shape == (100, 200, 4)
    assert render_keyboard(board, 200, candidates=["a"]).shape == (130, 200, 4)


def test_parts_are_drawn_alone(board):
    key = board.keys[0]
    cap = render_key(key, 60, foregrounds=False)
    assert (cap == (*RED, 255)).all()
    assert at(render_key(key, 60), 30, 30) == (*BLUE, 255)
    assert at(render_key(key, 60, state="pressed"), 50, 50) == (*WHITE, 255)
    assert render_panel(board, 100).shape == (50, 100, 4)
    assert at(render_bar(board.bar, 200), 5, 5) == (*RED, 255)


def test_nothing_is_transparent_black():
    board = Keyboard(KeyboardKind.CUSTOM, "b", "portrait", (40, 30))
    assert render_keyboard(board, 40).max() == 0


def test_absurd_sizes_are_not_drawn():
    key = Key(
        "k", Rect(0, 0, 1e6, 1e6), Rect(0, 0, 1, 1), Layer(Appearance(replace(patch(), fit="stretch"), None))
    )
    board = Keyboard(KeyboardKind.CUSTOM, "b", "portrait", (40, 30), keys=(key,))
    assert render_keyboard(board, 40).max() == 0


@pytest.mark.parametrize("size", [(0, None), (9000, None), (100, 0)])
def test_sizes_out_of_range_are_refused(board, size):
    with pytest.raises(InputError, match="1 to 8192 px"):
        render_keyboard(board, size[0], height_px=size[1])


def test_unknown_pressed_keys_are_refused(board):
    with pytest.raises(InputError, match="no key KEY99"):
        render_keyboard(board, 100, pressed=["KEY99"])


def test_a_keyboard_that_is_not_there_is_named(read):
    with pytest.raises(InputError, match="'strokes'; it has pinyin_26"):
        read(baidu_files()).theme().keyboard(KeyboardKind.STROKES)
