import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from skin_pipeline.prep.edges import trace_edges
from skin_pipeline.prep.quality import (
    AtLeast,
    AtMost,
    Check,
    Measure,
    edge_quality,
    find_faults,
    information,
    sharpness,
)
from skin_pipeline.skins.drawn import draw_skin

CHECK = Check("width", "Width", "too narrow", "How wide it is.")


@pytest.mark.parametrize(
    ("limit", "value", "admitted", "expected"),
    [
        (AtLeast(at_least=2), 2.0, True, "at least 2"),
        (AtLeast(at_least=2), 1.999, False, "at least 2"),
        (AtMost(at_most=0.5), 0.5, True, "at most 0.5"),
        (AtMost(at_most=0.5), 0.501, False, "at most 0.5"),
    ],
)
def test_a_bound_is_good_itself(limit: AtLeast | AtMost, value: float, admitted: bool, expected: str) -> None:
    assert limit.admits(value) is admitted
    assert str(limit) == expected


@pytest.mark.parametrize("action", ["reject", "report", "off"])
def test_faults_are_found_by_action(action: str) -> None:
    limits = {CHECK: AtLeast(at_least=2, action=action)}
    for wanted in ("reject", "report"):
        faults = find_faults({"width": Measure(1.25, "of 10")}, limits, wanted)
        assert [fault.sentence for fault in faults] == (
            ["too narrow: width 1.25 (of 10), expected at least 2."] if wanted == action else []
        )


def test_information_of_known_pictures() -> None:
    assert information(np.full((8, 8), 7, np.uint8)) == 0
    assert information(np.tile(np.array([0, 255], np.uint8), (8, 4))) == 1
    assert information(np.arange(256, dtype=np.uint8).reshape(16, 16)) == 8


def skin_gray(seed: int) -> np.ndarray:
    return cv2.cvtColor(draw_skin(seed, width_px=540, height_px=330).image, cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("seed", range(4))
def test_sharpness_falls_with_blur_and_not_with_contrast(seed: int) -> None:
    gray = skin_gray(seed)
    faint = (128 + (gray.astype(float) - 128) * 0.2).round().astype(np.uint8)
    blurred = cv2.GaussianBlur(gray, (0, 0), 1.5)
    assert sharpness(blurred) < 0.02 < sharpness(gray)
    assert sharpness(faint) == pytest.approx(sharpness(gray), rel=0.25)
    assert sharpness(np.zeros((9, 9), np.uint8)) == 0


def test_sharpness_is_measured_at_the_size_of_training() -> None:
    gray = skin_gray(1)
    enlarged = cv2.resize(gray, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    assert sharpness(enlarged) == pytest.approx(sharpness(gray), rel=0.1)


def outline(side: int, count: int) -> np.ndarray:
    """Draw squares with sides of a quarter: each is as long as one side of the picture."""
    picture = Image.new("L", (side, side))
    pen = ImageDraw.Draw(picture)
    for index in range(count):
        corner = 2 + index * side // 32
        pen.rectangle((corner, corner, corner + side // 4, corner + side // 4), outline=255)
    return np.asarray(picture)


def test_an_edge_map_of_known_lines() -> None:
    assert edge_quality(np.zeros((64, 64), np.uint8)).score == 0
    lines = edge_quality(outline(512, 4))
    assert lines.length_sides == pytest.approx(4, rel=0.03)
    assert (lines.speck_share, lines.score) == (0, pytest.approx(0.5, rel=0.03))
    specks = np.zeros((512, 512), np.uint8)
    specks[::4, ::4] = 255  # 32 sides of single pixels
    assert edge_quality(specks).speck_share == 1
    assert edge_quality(specks).score == 0
    tangle = np.zeros((512, 512), np.uint8)
    tangle[::2] = 255  # every other row: 256 sides in long lines
    assert (edge_quality(tangle).speck_share, edge_quality(tangle).score) == (0, 0)


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_the_score_does_not_depend_on_the_resolution(side: int) -> None:
    assert edge_quality(outline(side, 4)).score == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_skins_score_high_and_noise_low(seed: int) -> None:
    skin = draw_skin(seed, width_px=512, height_px=512).image
    generator = np.random.default_rng(seed)
    noisy = np.clip(skin + generator.normal(0, 25, skin.shape), 0, 255).astype(np.uint8)
    blank = np.full_like(skin, 90)
    scores = [edge_quality(trace_edges(picture)).score for picture in (skin, noisy, blank)]
    assert scores[0] > 0.7
    assert scores[1] < 0.25
    assert scores[2] == 0
