import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skin_pipeline.skins.export.packing import pack, picture_digest

sizes = st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=40)


def picture(width, height, value):
    return np.full((height, width, 4), value % 251 + 1, np.uint8)


@settings(max_examples=60, deadline=None)
@given(sizes)
def test_every_picture_is_on_its_sheet_and_none_overlap(shapes):
    pictures = [picture(*shape, index) for index, shape in enumerate(shapes)]
    packed = pack(pictures)
    for pixels in pictures:
        place = packed.placements[picture_digest(pixels)]
        x, y, width, height = (
            int(v) for v in (place.rect.x, place.rect.y, place.rect.width, place.rect.height)
        )
        assert np.array_equal(packed.sheets[place.sheet][y : y + height, x : x + width], pixels)
    for one, other in itertools.combinations(packed.placements.values(), 2):
        assert one.sheet != other.sheet or one.rect.intersection(other.rect).is_empty


def test_equal_pictures_are_stored_once_and_order_makes_no_difference():
    pictures = [picture(10, 12, 3), picture(30, 5, 4), picture(10, 12, 3)]
    packed, turned = pack(pictures), pack(pictures[::-1])
    assert len(packed.placements) == 2
    assert packed.placements == turned.placements
    assert all(np.array_equal(one, two) for one, two in zip(packed.sheets, turned.sheets, strict=True))


def test_pictures_that_are_too_many_or_too_large_for_one_sheet_get_more():
    assert len(pack([picture(4, 4 + i, i) for i in range(10)], max_tiles=4).sheets) == 3
    many = pack([np.full((1500, 1500, 4), i, np.uint8) for i in range(3)])
    assert [sheet.shape[:2] for sheet in many.sheets] == [(1500, 1500)] * 3


def test_a_picture_wider_than_a_usual_sheet_fits():
    assert pack([picture(3000, 20, 1), picture(10, 10, 2)]).sheets[0].shape[1] == 3000


@pytest.mark.parametrize("value", [0, 255])
def test_what_is_between_pictures_is_transparent(value):
    sheet = pack([np.full((4, 4, 4), value, np.uint8), np.full((2, 9, 4), 7, np.uint8)]).sheets[0]
    assert not sheet[3, 12:].any()
