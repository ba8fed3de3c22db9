import numpy as np
import pytest

from skin_pipeline.colours import COLOURS
from skin_pipeline.evaluation.colour import (
    PartAgreement,
    colour_agrees,
    dominant_colour,
    part_colours_agree,
    prompt_colours,
)
from skin_pipeline.prep.describe import describe_skin
from skin_pipeline.skins.drawn import describe_style, draw_skin


def painted(*shares):
    """Paint vertical stripes of the named colours, each with its share of 100 columns."""
    anchors = {colour.english: colour.anchor for colour in COLOURS}
    columns = [anchors[name] for name, share in shares for _ in range(share)]
    return np.tile(np.array(columns, np.uint8), (60, 1, 1))


def test_the_dominant_colour_is_that_of_most_pixels():
    assert dominant_colour(painted(("pink", 60), ("white", 40))).english == "pink"
    assert dominant_colour(painted(("pink", 40), ("white", 60))).english == "white"


@pytest.mark.parametrize(
    ("prompt", "panel", "keys"),
    [
        ("pink keyboard skin with floating white rounded keys, polka dot background", ("pink",), ("white",)),
        (
            "a keyboard skin in navy and teal, white keys, yellow legends, red enter key",
            ("navy", "teal"),
            ("white",),
        ),
        ("a keyboard skin of sky blue gradient background, gray keys ,iflyskin", ("sky blue",), ("gray",)),
        ("粉色和白色键盘皮肤，悬浮黑色圆角按键，波点背景", ("pink", "white"), ("black",)),
        ("深色26键键盘皮肤，紫色渐变背景，白色按键，红色回车键", ("purple",), ("white",)),
        ('green keyboard skin, borderless keys, writing "red", "蓝色"', ("green",), ()),
        ("a keyboard", (), ()),
    ],
)
def test_clauses_give_colours_to_panel_and_keys(prompt, panel, keys):
    colours = prompt_colours(prompt)
    assert (colours.panel, colours.keys) == (panel, keys)


def test_a_picture_agrees_when_panel_or_keys_dominate_it():
    prompt = "pink keyboard skin with white rounded keys, red enter key"
    assert colour_agrees(painted(("pink", 60), ("white", 40)), prompt) is True
    assert colour_agrees(painted(("pink", 40), ("white", 60)), prompt) is True
    assert colour_agrees(painted(("red", 60), ("white", 40)), prompt) is False
    assert colour_agrees(painted(("pink", 60), ("white", 40)), "a keyboard") is None


def test_true_captions_of_drawn_skins_agree_far_beyond_chance():
    skins = [draw_skin(seed, width_px=128, height_px=96) for seed in range(24)]
    captions = [describe_style(skin.style, "en", variant=5) for skin in skins]
    own = [colour_agrees(skin.image, caption) for skin, caption in zip(skins, captions, strict=True)]
    others = [
        colour_agrees(skin.image, caption)
        for skin, caption in zip(skins, captions[1:] + captions[:1], strict=True)
    ]
    assert sum(own) / len(own) >= 0.7
    assert sum(others) / len(others) <= 0.35


def test_panel_and_keys_are_measured_apart():
    skin = draw_skin(0, width_px=640, height_px=480).image
    description = describe_skin(skin)
    assert description.panel is not None
    assert description.key is not None
    prompt = f"{description.panel} background, {description.key} rounded keys"
    assert part_colours_agree(skin, prompt) == PartAgreement(panel=True, keys=True)
    swapped = part_colours_agree(skin, f"{description.key} background, {description.panel} keys")
    assert swapped == PartAgreement(panel=False, keys=False)
    assert part_colours_agree(skin, "a keyboard") == PartAgreement(panel=None, keys=None)
    empty = np.full((96, 128, 3), 200, np.uint8)
    assert part_colours_agree(empty, prompt) == PartAgreement(panel=False, keys=False)
