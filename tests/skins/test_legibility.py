"""Legends can be read whatever lies beneath them, idle and pressed."""

from dataclasses import replace

import numpy as np
import pytest

from skin_pipeline.skins.contrast import MIN_CONTRAST, legible_veil
from skin_pipeline.skins.legibility import make_legible, measure_legends
from skin_pipeline.skins.model import (
    NOTHING,
    Action,
    Appearance,
    Atlas,
    CandidateBar,
    Function,
    Gesture,
    Insets,
    Key,
    Keyboard,
    KeyboardKind,
    KeyList,
    Layer,
    Lettering,
    Rect,
    Skin,
    TextStyle,
    Theme,
    Tile,
)
from skin_pipeline.skins.rendering import render_keyboard
from tests.skins.skins_at_hand import complete_skin

SIDE = 60
GREY = (120, 120, 120, 255)
NOISE = np.random.default_rng(3)


def tile(rgb, alpha=255, fit="stretch") -> Tile:
    pixels = np.empty((SIDE, SIDE, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = rgb, alpha
    return Tile(Atlas("", pixels), Rect(0, 0, SIDE, SIDE), fit, Insets(9, 9, 9, 9))


RAMP = np.linspace(0, 255, SIDE)[None, :, None]
GROUNDS = {
    "mid grey": tile((119, 119, 119)),
    "light": tile((250, 240, 245)),
    "ramp": tile(np.broadcast_to(RAMP, (SIDE, SIDE, 3))),
    "noise": tile(NOISE.integers(0, 256, (SIDE, SIDE, 3))),
    "black and white": tile(NOISE.choice([0, 255], (SIDE, SIDE, 1))),
    "half transparent": tile((200, 30, 30), alpha=128),
    "nine-patch": tile(NOISE.choice([40, 220], (SIDE, SIDE, 1)), fit="nine_patch"),
}


def picture_legend() -> Tile:
    """A blurred grey cross that is never quite opaque."""
    alpha = np.zeros((20, 20), np.uint8)
    alpha[8:12], alpha[:, 8:12] = 150, 150
    pixels = np.dstack([np.full((20, 20, 3), 128, np.uint8), alpha])
    return Tile(Atlas("", pixels), Rect(0, 0, 20, 20))


def keyboard(ground, legend, panel=None) -> Keyboard:
    text = TextStyle(18, GREY, GREY)
    cap = Appearance(*ground) if ground else NOTHING
    key = Key(
        "q", Rect(10, 10, 60, 60), Rect(10, 10, 60, 60), Layer(cap), (Layer(Appearance(legend, legend)),),
        actions={Gesture.TAP: Action(Function.LETTER, "q")},
    )  # fmt: skip
    paint = ground[0] if ground else panel
    marks = KeyList(Rect(100, 10, 40, 60), "column", (40, 30), Appearance(paint, paint), text=text)
    bar = CandidateBar(
        Rect(0, -30, 160, 30), background=Appearance(paint, paint), first_cell=Appearance(tile(0), tile(255)),
        text=text, first_text=text,
    )  # fmt: skip
    return Keyboard(
        KeyboardKind.PINYIN_26, "py_26", "portrait", (160, 80), Appearance(panel, panel), (key,), bar,
        lists=(replace(marks, entries=(",", "。")),),
    )  # fmt: skip


def skin_of(board: Keyboard) -> Skin:
    return Skin("s", "", "", "folder", (Theme("default", (board,)),))


def mended(board: Keyboard) -> Keyboard:
    [board] = make_legible(skin_of(board)).themes[0].keyboards
    return board


@pytest.mark.parametrize("legend", [Lettering("q", 24, GREY), picture_legend()], ids=["text", "picture"])
@pytest.mark.parametrize("idle", GROUNDS)
def test_legends_can_be_read_on_awkward_caps(idle, legend):
    board = keyboard((GROUNDS[idle], GROUNDS["light"]), legend, panel=tile((90, 90, 90)))
    before = measure_legends(board)
    assert {found.place for found in before} == {
        "py_26, q, normal", "py_26, q, pressed", "py_26, list 0", "py_26, candidates",
        "py_26, first candidate",
    }  # fmt: skip
    assert min(found.low for found in before) < MIN_CONTRAST
    after = measure_legends(mended(board))
    assert [found.place for found in after] == [found.place for found in before]  # plates are no legends
    assert min(found.low for found in after) >= MIN_CONTRAST
    assert min(found.median for found in after) >= MIN_CONTRAST


def test_legends_without_a_cap_can_be_read_on_the_panel():
    board = keyboard(None, Lettering("q", 24, GREY), panel=GROUNDS["noise"])
    assert min(found.low for found in measure_legends(mended(board))) >= MIN_CONTRAST


def test_a_plate_lies_only_under_the_legend():
    board = keyboard([GROUNDS["noise"]] * 2, Lettering("q", 24, GREY), panel=tile(90))
    shown, plain = (render_keyboard(replace(one, lists=(), bar=None), 320) for one in (mended(board), board))
    changed = (shown != plain).any(axis=2)
    assert changed[70:90, 70:90].all()
    assert not changed[20:36, 20:36].any()  # a corner of the cap


def test_legends_that_can_be_read_stay_as_they_are():
    skin = complete_skin()
    legible = make_legible(skin)
    for before, after in zip(skin.themes[0].keyboards, legible.themes[0].keyboards, strict=True):
        unread = {found.place.split(", ")[1] for found in measure_legends(before) if not found.is_legible}
        for key, mended_key in zip(before.keys, after.keys, strict=True):
            assert (key == mended_key) == (key.id not in unread)
    assert make_legible(legible) == legible


@pytest.mark.parametrize(
    "grounds",
    [
        [((255, 255, 255), (0, 0, 0))],
        [((119, 119, 119), (0, 0, 0))],
        [((119, 119, 119), (0, 0, 0)), ((118, 118, 118), (255, 255, 255))],
    ],
    ids=["white", "mid grey", "both ways"],
)
def test_texts_can_be_read_on_pressed_plain_keys(grounds):
    veil, alpha = legible_veil(grounds, 0x33, preferred=grounds[0][1])
    assert alpha > 0
    for ground, text in grounds:
        pressed = np.asarray(ground) + (np.asarray(veil) - ground) * alpha / 255
        luminances = [_luminance(colour) + 0.05 for colour in (pressed, text)]
        assert max(luminances) / min(luminances) >= 4.45


def _luminance(colour) -> float:
    """WCAG 2.1, relative luminance."""
    level = np.asarray(colour) / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_a_text_that_cannot_be_read_gets_no_veil():
    assert legible_veil([((119, 119, 119), (128, 128, 128))], 0x33, (0, 0, 0)) == ((0, 0, 0), 0)
