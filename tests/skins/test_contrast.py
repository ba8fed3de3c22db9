import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skin_pipeline.colours import contrast_ratio, to_lab
from skin_pipeline.errors import InputError
from skin_pipeline.skins.contrast import MIN_CONTRAST, contrast_with, legible_colour

rgb = st.tuples(*[st.integers(0, 255)] * 3)


def flat(colour, count=8):
    return np.full((count, count, 3), colour, np.uint8)


@settings(deadline=None)
@given(rgb, st.none() | rgb)
def test_on_any_plain_ground_there_is_a_legible_colour(ground, preferred):
    chosen = legible_colour(flat(ground), preferred)
    assert chosen.is_legible
    assert chosen.ratio == pytest.approx(contrast_ratio(chosen.colour, ground))


@settings(deadline=None)
@given(rgb, rgb)
def test_a_colour_that_can_be_read_is_left_as_it_is(ground, preferred):
    if contrast_ratio(ground, preferred) >= MIN_CONTRAST:
        assert legible_colour(flat(ground), preferred).colour == preferred


@settings(deadline=None)
@given(rgb, rgb)
def test_contrast_is_the_same_from_both_sides(one, other):
    assert contrast_with(one, flat(other)) == pytest.approx(contrast_ratio(one, other))
    assert contrast_with(one, flat(other)) == pytest.approx(contrast_with(other, flat(one)))


def test_a_colour_that_cannot_be_read_keeps_its_hue():
    chosen = legible_colour(flat((255, 255, 255)), (120, 190, 255))
    lab, wanted = to_lab(chosen.colour), to_lab((120, 190, 255))
    assert lab[0] < wanted[0]
    assert np.arctan2(lab[2], lab[1]) == pytest.approx(np.arctan2(wanted[2], wanted[1]), abs=0.25)


def test_the_worst_pixels_count_and_not_their_mean():
    ground = np.concatenate([flat((255, 255, 255), 10), flat((0, 0, 0), 10)])
    assert contrast_with((0, 0, 0), ground) == pytest.approx(1)
    assert not legible_colour(ground).is_legible
    assert contrast_with((0, 0, 0), ground, worst_share=0.6) == pytest.approx(21)


def test_a_glint_does_not_count():
    ground = flat((250, 250, 250), 20)
    ground[0, :7] = 0
    assert legible_colour(ground).colour == (0, 0, 0)


def test_what_shows_through_is_taken_at_its_worst():
    glass = np.full((4, 4, 4), (255, 255, 255, 0), np.uint8)
    assert contrast_with((0, 0, 0), glass) == pytest.approx(1)
    assert contrast_with((255, 255, 255), glass) == pytest.approx(1)


def test_no_pixels_are_an_error():
    with pytest.raises(InputError, match="no pixels behind the text"):
        legible_colour(np.zeros((0, 4, 3), np.uint8))
