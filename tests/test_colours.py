import numpy as np
import pytest

from skin_pipeline.colours import (
    COLOURS,
    colour_named,
    colours_in,
    contrast_ratio,
    dominant_colours,
    name_colour,
    relative_luminance,
    to_lab,
)


@pytest.mark.parametrize("colour", COLOURS, ids=lambda colour: colour.english)
def test_every_anchor_and_variant_has_its_own_name(colour):
    for rgb in colour.all_shades:
        assert name_colour(rgb) is colour


def test_anchors_are_well_separated():
    lab = to_lab([colour.anchor for colour in COLOURS])
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    # 2.3 is a just noticeable difference; a dozen of them survive jitter, shadows and a VAE.
    assert distances.min() > 12 * 2.3 / 2


@pytest.mark.parametrize(
    ("rgb", "english"),
    [
        ((255, 0, 0), "red"),
        ((0, 128, 0), "green"),
        ((0, 0, 255), "blue"),
        ((255, 255, 0), "yellow"),
        ((128, 128, 128), "gray"),
        ((0, 0, 0), "black"),
        ((255, 255, 255), "white"),
        ((255, 192, 203), "pink"),
        ((0, 0, 128), "navy"),
        ((0, 128, 128), "teal"),
        ((165, 42, 42), "red"),
        ((245, 245, 220), "beige"),
    ],
)
def test_colours_of_the_web_have_the_names_people_give_them(rgb, english):
    assert name_colour(rgb).english == english


def test_words_mean_one_colour_each():
    words = [word for colour in COLOURS for word in (colour.english, colour.chinese, *colour.aliases)]
    assert len(words) == len(set(words))


def test_lab_of_known_colours():
    assert to_lab([255, 255, 255]) == pytest.approx([100, 0, 0], abs=0.1)
    assert to_lab([255, 0, 0]) == pytest.approx([53.24, 80.09, 67.2], abs=0.3)


def test_contrast_of_known_colours():
    assert contrast_ratio((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast_ratio((118, 118, 118), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)
    assert relative_luminance((0, 255, 0)) == pytest.approx(0.7152)


def test_dominant_colours_are_medians_of_named_groups_with_their_shares():
    image = np.empty((100, 100, 3), np.uint8)
    image[:70] = colour_named("pink").anchor
    image[70:] = colour_named("navy").anchor
    assert dominant_colours(image, k=3) == [
        (colour_named("pink").anchor, pytest.approx(0.7)),
        (colour_named("navy").anchor, pytest.approx(0.3)),
    ]


def test_dominant_colours_look_only_where_the_mask_is_true():
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, :10] = colour_named("red").anchor
    mask = np.zeros((20, 30), bool)
    mask[:, :10] = True
    assert dominant_colours(image, mask, k=2) == [(colour_named("red").anchor, 1.0)]
    assert dominant_colours(image, np.zeros_like(mask)) == []


def test_colours_in_a_text_are_found_in_order_and_the_longest_word_wins():
    found = colours_in("a Sky Blue skin, black keys, light blue dots; 粉红色和深蓝色")
    assert [colour.english for colour in found] == ["sky blue", "black", "pink", "navy"]


def test_colours_are_not_found_inside_other_words():
    assert colours_in("a bored golden-haired reddish infrared whiteboard") == []
