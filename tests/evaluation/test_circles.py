"""Circles are found where they are, wherever they are; errors are known by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from skin_pipeline.evaluation.circles import (
    chance_of_colours,
    find_circle,
    find_outline,
    measure_circle,
    score_circles,
)
from skin_pipeline.prep.fill50k import Fill50kParameters, caption_colours, draw_circle, palette_colours

RED, BLUE, WHITE = (222, 52, 56), (40, 60, 200), (255, 255, 255)
PALETTE = (RED, BLUE, WHITE)


def picture(x=60, y=70, radius=20, colour=RED, ground=BLUE, size=128):
    image = np.full((size, size, 3), ground, np.uint8)
    cv2.circle(image, (x, y), radius, colour, cv2.FILLED)
    return image


def outline(x=60, y=70, radius=20, size=128):
    image = np.zeros((size, size), np.uint8)
    cv2.circle(image, (x, y), radius, 255, 1)
    return image


@pytest.mark.parametrize("number", range(8))
def test_drawn_circles_are_right_even_under_noise(number):
    parameters = Fill50kParameters(size_px=256)
    circle = draw_circle(number, parameters)
    noise = np.random.default_rng(number).normal(0, 8, circle.image.shape)
    noisy = np.clip(circle.image + noise, 0, 255).astype(np.uint8)
    colours = caption_colours(circle.text, "css")
    errors = measure_circle(
        find_circle(noisy), circle.conditioning, colours, [*palette_colours("css").values()]
    )
    assert errors.is_right
    assert errors.centre_px < 0.5
    assert errors.radius_px < 0.5


def test_centre_and_radius_of_an_outline_are_found():
    (x, y), radius = find_outline(outline())
    assert (x, y, radius) == pytest.approx((60.5, 70.5, 20), abs=0.7)


def test_an_arc_at_the_frame_gives_the_whole_circle():
    (x, y), radius = find_outline(outline(x=2, y=64, radius=30))
    assert (x, y, radius) == pytest.approx((2.5, 64.5, 30), abs=0.7)
    found = find_circle(picture(x=2, y=64, radius=30))
    assert (*found.centre, found.radius) == pytest.approx((2.5, 64.5, 30), abs=0.8)


def test_errors_are_the_distances_that_were_put_in():
    errors = measure_circle(find_circle(picture(x=63, y=74)), outline(), (RED, BLUE), PALETTE)
    assert errors.centre_px == pytest.approx(5, abs=0.1)
    assert errors.radius_px < 1
    assert errors.colour_distance == errors.ground_distance == 0
    assert not errors.is_in_place
    assert errors.has_right_colours


def test_swapped_colours_are_wrong_though_the_place_is_right():
    errors = measure_circle(find_circle(picture()), outline(), (BLUE, RED), PALETTE)
    assert errors.is_in_place
    assert not errors.has_right_colours
    assert not errors.is_right


def test_a_picture_of_one_colour_has_no_circle():
    flat = np.full((64, 64, 3), 90, np.uint8)
    assert find_circle(flat) is None
    errors = measure_circle(None, outline(size=64, x=30, y=30, radius=9), (RED, BLUE), PALETTE)
    assert errors.centre_px == np.inf
    assert not errors.is_right


def test_scores_count_what_is_right_and_what_chance_would_give():
    pictures = [picture(), picture(colour=WHITE), picture(x=90)]
    wanted = [(RED, BLUE), (RED, BLUE), (RED, BLUE)]
    errors = [measure_circle(find_circle(image), outline(), (RED, BLUE), PALETTE) for image in pictures]
    scores = score_circles(
        errors, chance_of_colours([find_circle(image) for image in pictures], wanted, PALETTE)
    )
    assert scores.right.estimate == pytest.approx(1 / 3)
    assert scores.in_place.estimate == pytest.approx(2 / 3)
    assert scores.right_colours.estimate == pytest.approx(2 / 3)
    assert scores.chance == pytest.approx(2 / 3)  # all captions are the same, so any one fits as well
    assert chance_of_colours([find_circle(pictures[0])], wanted[:1], PALETTE) == 0


def test_a_colour_is_right_when_no_other_is_as_near():
    pale = (250, 150, 150)  # 49 from red in CIELAB, and further from the others
    errors = measure_circle(find_circle(picture(colour=pale)), outline(), (RED, BLUE), PALETTE)
    assert errors.colour_distance > 20
    assert errors.has_right_colours
    assert not measure_circle(
        find_circle(picture(colour=pale)), outline(), (RED, BLUE), (*PALETTE, (255, 160, 160))
    ).has_right_colours
