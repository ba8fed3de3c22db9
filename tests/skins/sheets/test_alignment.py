from dataclasses import replace

import numpy as np
import pytest

from skin_pipeline.skins.model import Appearance, Atlas, Layer, Rect, Tile
from skin_pipeline.skins.sheets.alignment import AlignmentParameters, measure_alignment


@pytest.fixture
def board(theme):
    return theme.keyboards[0]


def moved(board, dx, dy, keys=slice(None)):
    chosen = {key.id for key in board.keys[keys]}
    return replace(
        board,
        keys=tuple(
            replace(key, rect=key.rect.moved(dx, dy)) if key.id in chosen else key for key in board.keys
        ),
    )


def complaints(board):
    return measure_alignment(board).complaints(AlignmentParameters())


def test_a_sound_keyboard_has_no_complaints(board):
    measured = measure_alignment(board)
    assert (measured.inside, measured.overlap, measured.legends_inside) == pytest.approx((1, 0, 1))
    assert complaints(board) == []


def test_keys_beside_their_panel(board):
    [complaint] = complaints(moved(board, 200, 0))
    assert "lies on the panel, expected at least 97%" in complaint


def test_keys_over_each_other(board):
    [complaint] = complaints(moved(board, 0, -108, slice(10, 19)))
    assert "lies under other keys, expected at most 5%" in complaint


def test_legends_beside_their_keys(board):
    pixels = np.full((10, 10, 4), 255, dtype=np.uint8)
    tile = Tile(Atlas("a", pixels), Rect(0, 0, 10, 10))
    astray = Layer(Appearance(tile, tile), offset=(300, 0))
    [complaint] = complaints(
        replace(board, keys=tuple(replace(key, foregrounds=(astray,)) for key in board.keys))
    )
    assert "0% of its legends lie on their key" in complaint


def test_a_keyboard_without_keys(board):
    assert "it has 0 keys" in complaints(replace(board, keys=()))[0]
