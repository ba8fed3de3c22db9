"""Sheets of keys with legends by lot: what they say, how high it is, and what is held out."""

import numpy as np
import pytest

from skin_pipeline.geometry import quad_sizes
from skin_pipeline.skins.drawn.legend_sheets import (
    LegendSheet,
    draw_legend_sheet,
    is_held_out,
    level_one,
)
from skin_pipeline.skins.drawn.legends import is_chinese

HEIGHTS_PX = (16.0, 32.0)


def draw(seed: int, held_out: bool = False) -> LegendSheet:
    return draw_legend_sheet(seed, (256, 192), (3, 3), HEIGHTS_PX, held_out=held_out)


TRAINED = [draw(seed) for seed in range(6)]
NEW = [draw(seed, held_out=True) for seed in range(6)]


def test_held_out_strings_and_characters_occur_on_no_other_sheet() -> None:
    for sheets, held_out in ((TRAINED, False), (NEW, True)):
        for text in (text for sheet in sheets for text in sheet.texts):
            parts = list(text) if is_chinese(text) else [text]
            assert {is_held_out(part) for part in parts} == {held_out}


def test_a_tenth_of_level_one_is_held_out() -> None:
    assert len(set(level_one())) == 3755
    assert sum(map(is_held_out, level_one())) == pytest.approx(375, abs=40)


def test_chinese_can_be_kept_to_some_characters() -> None:
    sheet = draw_legend_sheet(1, (256, 192), (3, 3), HEIGHTS_PX, among="中文")
    assert {one for text in sheet.texts if is_chinese(text) for one in text} <= set("中文")


def test_legends_are_as_high_as_stated() -> None:
    low, high = HEIGHTS_PX
    for sheet in TRAINED + NEW:
        heights = quad_sizes(sheet.quads)[:, 1] / 1.12  # without the quads' margin
        assert len(sheet.texts) == len(sheet.quads) == 9
        assert heights.min() > 0.3 * low  # letters without ascenders; the flattest strokes are 一
        assert heights.max() < 1.45 * high  # letters with ascenders and descenders


def test_a_seed_is_a_sheet() -> None:
    again = draw(TRAINED[0].seed)
    assert again.texts == TRAINED[0].texts
    assert np.array_equal(again.picture, TRAINED[0].picture)
    assert TRAINED[0].texts != TRAINED[1].texts


def test_ink_lies_within_its_quad() -> None:
    """Where a legend is, the picture differs from its key; a blank key's cells are all alike."""
    sheet = TRAINED[0]
    for quad in sheet.quads:
        (left, top), (right, bottom) = quad[0].astype(int), quad[2].astype(int)
        inside = sheet.picture[top:bottom, left:right].astype(int)
        assert np.ptp(inside.sum(axis=2)) > 100
