"""Where text is, as one channel of a conditioning image."""

import numpy as np

from skin_pipeline.geometry import quads_of
from skin_pipeline.prep.positions import lines_of, show_positions

LINES = np.zeros((20, 30), np.uint8)
LINES[3], LINES[12, 8:14] = 255, 128


def test_the_blue_channel_alone_shows_where_text_is():
    shown = show_positions(LINES, quads_of([(6.2, 10.2, 15.8, 14.8)]))
    assert shown.shape == (20, 30, 3)
    assert (shown[..., :2] == LINES[..., None]).all()
    blue = LINES.copy()
    blue[10:15, 6:16] = 255
    np.testing.assert_array_equal(shown[..., 2], blue)


def test_lines_are_what_they_were():
    np.testing.assert_array_equal(lines_of(show_positions(LINES, quads_of([(6.2, 10.2, 15.8, 14.8)]))), LINES)
    np.testing.assert_array_equal(lines_of(np.dstack([LINES] * 3)), LINES)
    np.testing.assert_array_equal(lines_of(LINES), LINES)


def test_without_text_it_is_a_grey_picture():
    np.testing.assert_array_equal(show_positions(LINES, []), np.dstack([LINES] * 3))
