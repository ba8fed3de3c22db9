"""What is measured on skins is true of them."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from skin_pipeline.prep.describe import SkinDescription, describe_skin
from skin_pipeline.skins.drawn import SkinStyle, draw_skin

SHAPES = {"circle": "round", "leaf": "leaf shaped"}


def keyboard(
    *, panel: object = "#fac0d4", key: str | None = "white", legend: str = "black", radius: int = 12
) -> np.ndarray:
    """Draw ten columns and four rows of keys, 64 x 96 px each, with a bar as legend."""
    picture = Image.new("RGB", (800, 560), panel) if isinstance(panel, str) else Image.fromarray(panel)
    pen = ImageDraw.Draw(picture)
    for index in range(40):
        x, y = 8 + 79 * (index % 10), 60 + 122 * (index // 10)
        if key:
            pen.rounded_rectangle((x, y, x + 64, y + 96), radius, key)
        pen.rectangle((x + 26, y + 34, x + 36, y + 60), legend)
    return np.asarray(picture)


def test_a_plain_skin_is_described_in_full() -> None:
    description = describe_skin(keyboard())
    assert description == SkinDescription(
        panel="pink", background="plain", key="white", key_shape="rounded", legend="black",
        brightness="light", layout="26-key",
    )  # fmt: skip
    assert description.text == "pink plain background, white rounded keys, black legends, light"
    assert "second" not in description.attributes
    assert "borderless" not in description.attributes


@pytest.mark.parametrize(("radius", "shape"), [(0, "square"), (16, "rounded"), (32, "pill")])
def test_shapes_are_told_by_their_corners(radius: int, shape: str) -> None:
    assert describe_skin(keyboard(radius=radius)).key_shape == shape


def test_stretching_is_undone_before_shapes_are_measured() -> None:
    squeezed = cv2.resize(keyboard(radius=16), (512, 512), interpolation=cv2.INTER_AREA)
    description = describe_skin(squeezed, stretch=560 / 800)
    assert (description.key_shape, description.layout) == ("rounded", "26-key")


def test_keys_a_few_levels_darker_than_the_panel_are_seen() -> None:
    description = describe_skin(keyboard(panel="#404040", key="#383838", legend="white"))
    assert (description.key_shape, description.borderless) == ("rounded", False)


def test_legends_on_the_bare_panel_are_borderless_keys() -> None:
    description = describe_skin(keyboard(panel="#101018", key=None, legend="white"))
    assert description.borderless
    assert description.text == "black, borderless keys, dark"


def test_a_gradient_has_two_colours() -> None:
    ramp = np.linspace((46, 104, 222), (140, 202, 242), 560)[:, None].repeat(800, axis=1).astype(np.uint8)
    description = describe_skin(keyboard(panel=ramp))
    assert description.background == "gradient"
    assert {description.panel, description.second} == {"blue", "sky blue"}


def test_checks_are_patterned_and_both_colours_named() -> None:
    checks = np.kron(np.indices((35, 50)).sum(axis=0) % 2, np.ones((16, 16)))[..., None]
    panel = (checks * (250, 214, 66) + (1 - checks) * (24, 148, 150)).astype(np.uint8)
    description = describe_skin(keyboard(panel=panel))
    assert description.background == "patterned"
    assert {description.panel, description.second} == {"yellow", "teal"}


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_has_a_colour_and_no_keys(level: int) -> None:
    description = describe_skin(np.full((200, 300, 3), level, np.uint8))
    assert description.panel == {0: "black", 128: "gray", 255: "white"}[level]
    assert (description.key, description.key_shape, description.borderless) == (None, None, False)


def test_noise_is_not_described_as_a_keyboard() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    description = describe_skin(noise)
    assert (description.key, description.background, description.layout) == (None, None, None)


def measure(seeds: range) -> dict[str, float]:
    """Return the share of drawn skins of which each measurement is right."""
    right: dict[str, list[bool]] = {}
    for seed in seeds:
        skin = draw_skin(seed, width_px=540, height_px=405)
        resized = cv2.resize(skin.image, (512, 512), interpolation=cv2.INTER_AREA)
        _compare(describe_skin(resized, stretch=405 / 540), skin.style, right)
    return {name: float(np.mean(values)) for name, values in right.items()}


def _compare(description: SkinDescription, style: SkinStyle, right: dict[str, list[bool]]) -> None:
    def note(name: str, correct: bool) -> None:
        right.setdefault(name, []).append(correct)

    solid = style.key_finish not in ("outlined", "borderless", "glass")
    note("panel", description.panel == style.panel.name)
    if solid:
        note("key", description.key == style.key.name)
        note("shape", description.key_shape == SHAPES.get(style.key_shape, style.key_shape))
    if description.legend:
        note("legend, if named", description.legend == style.legend.name)
    if description.brightness:
        note("brightness, if named", description.brightness == style.brightness)
    if description.layout:
        note("layout, if named", description.layout == style.layout.replace("_", "-"))


def test_measurements_of_drawn_skins_are_right() -> None:
    shares = measure(range(8))
    assert shares["panel"] >= 0.8
    assert shares["key"] >= 0.7


@pytest.mark.slow
def test_measurements_of_many_drawn_skins_are_right() -> None:
    shares = measure(range(1000, 1060))
    assert shares["panel"] >= 0.9, shares
    assert shares["key"] >= 0.9, shares
    assert shares["shape"] >= 0.8, shares
    assert shares["legend, if named"] >= 0.95, shares
    assert shares["brightness, if named"] >= 0.95, shares
    assert shares["layout, if named"] >= 0.95, shares
