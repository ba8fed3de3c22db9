"""Legends rendered into quads: where they lie, what they look like, what is left out."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.geometry import FloatArray, draw_in, quads_of
from skin_pipeline.items import Item, Output, Task
from skin_pipeline.prep.edges import trace_edges
from skin_pipeline.prep.glyphs import (
    READ_MARGIN,
    GlyphMap,
    GlyphParameters,
    GlyphStyle,
    Legend,
    is_bold,
    make_glyph_renderer,
    render_legends,
)
from skin_pipeline.recognition.reader import TextReader
from skin_pipeline.recognition.weights import embedded_weights
from skin_pipeline.typefaces import font_path, ink_box

FONT = font_path("sans_sc_regular")
SIZE = 256


def box(left: float, top: float, right: float, bottom: float) -> FloatArray:
    return quads_of([(left, top, right, bottom)])[0]


def tilted(quad: FloatArray, degrees: float) -> FloatArray:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (quad - quad.mean(axis=0)) @ turn + quad.mean(axis=0)


def render(*legends: Legend, background: np.ndarray | None = None, margin: float = 0.1) -> GlyphMap:
    background = np.zeros((SIZE, SIZE), np.uint8) if background is None else background
    return render_legends(background, legends, font=FONT, min_height_px=10, margin=margin)


def ink_quad(image: np.ndarray) -> FloatArray:
    rows, columns = np.nonzero(image > 127)
    return box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


@pytest.mark.parametrize("text", ["前往", "Space", "Q", "中/英", "W"])
@pytest.mark.parametrize("height", [14, 28, 60])
def test_ink_fills_the_quad_but_for_its_margin(text: str, height: int) -> None:
    quad = box(40.3, 90.6, 40.3 + height * (0.8 * len(text) + 0.3), 90.6 + height)
    ink = ink_quad(render(Legend(text, quad), background=np.zeros((SIZE, 2 * SIZE), np.uint8)).image)
    inner = quad + 0.1 * height * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    assert (ink[0] >= inner[0] - 1.5).all()
    assert (ink[2] <= inner[2] + 1.5).all()
    assert ink[2, 1] - ink[0, 1] >= 0.75 * (inner[2, 1] - inner[0, 1])
    np.testing.assert_allclose(ink.mean(axis=0), quad.mean(axis=0), atol=1.1)


def test_text_turns_with_its_quad() -> None:
    quad = box(60, 100, 200, 140)
    upright = render(Legend("空格", quad)).image
    turned = render(Legend("空格", tilted(quad, 30))).image
    matrix = cv2.getRotationMatrix2D((129.5, 119.5), 30, 1)  # pixel centres: a half less than 130, 120
    back = cv2.warpAffine(turned, matrix, (SIZE, SIZE)) > 127
    overlap = np.count_nonzero(back & (upright > 127)) / np.count_nonzero(back | (upright > 127))
    assert overlap > 0.85


def test_text_in_a_tall_quad_runs_downwards() -> None:
    lying = render(Legend("空格", box(100, 60, 160, 90))).image
    standing = render(Legend("空格", box(100, 60, 130, 120))).image
    np.testing.assert_array_equal(np.rot90(standing[60:120, 100:130]), lying[60:90, 100:160])


def test_one_character_in_a_tall_quad_stands_upright() -> None:
    image = render(Legend("I", box(100, 60, 112, 100))).image
    rows, columns = np.nonzero(image > 127)
    assert np.ptp(rows) > 3 * np.ptp(columns)


def test_edges_inside_a_rendered_quad_are_cleared_and_all_others_stay() -> None:
    background = np.full((SIZE, SIZE), 255, np.uint8)
    quad = box(60, 100, 120, 130)
    image = render(Legend("空格", quad), background=background).image
    blank = render(Legend("空格", quad)).image
    np.testing.assert_array_equal(image[101:129, 61:119], blank[101:129, 61:119])
    image[100:131, 60:121] = 255
    assert (image == 255).all()
    assert (background == 255).all(), "the background itself was changed"


def test_what_cannot_be_rendered_is_left_out_with_the_reason() -> None:
    background = np.random.default_rng(0).integers(0, 2, (SIZE, SIZE), np.uint8) * 255
    glyphs = render(
        Legend("空格", box(10, 10, 30, 19)),
        Legend("龘", box(60, 60, 100, 100)),
        Legend("符", box(240, 60, 270, 90)),
        Legend(" ", box(60, 160, 100, 200)),
        background=background,
    )
    assert glyphs.rendered == ()
    reasons = [reason for _, reason in glyphs.skipped]
    assert "height of 9.0 px is below 10 px" in reasons[0]
    assert "no glyph for 龘" in reasons[1]
    assert "partly outside the picture of 256x256 px" in reasons[2]
    assert reasons[3] == "no text"
    np.testing.assert_array_equal(glyphs.image, background)


def task(boxes: list[dict[str, object]], path: Path, picture: np.ndarray | None = None) -> Task:
    assert cv2.imwrite(str(path), np.zeros((SIZE, SIZE), np.uint8))
    edges = Item("skin", {"size_px": [SIZE, SIZE]}, "0" * 64, path)
    texts = Item("skin", {"boxes": boxes}, "1" * 64)
    skin = Item("skin", {}, "2" * 64, path.with_name("skin.png"))
    assert cv2.imwrite(str(skin.path), np.zeros((SIZE, SIZE, 3), np.uint8) if picture is None else picture)
    return Task("skin", {"edge_maps": edges, "text_boxes": texts, "resized_skins": skin})


def test_only_sure_strings_are_rendered(tmp_path: Path) -> None:
    quads = [box(20, 20 + 60 * row, 100, 60 + 60 * row).tolist() for row in range(3)]
    boxes = [
        {"text": text, "confidence": confidence, "quad": quad}
        for text, confidence, quad in zip(["空格", "换行", "自"], [0.9999, 0.98, 0.7], quads, strict=True)
    ]
    (output,) = make_glyph_renderer(GlyphParameters())([task(boxes, tmp_path / "edges.png")])
    assert isinstance(output, Output)
    assert output.image is not None
    assert output.record == {
        "rendered": [{"text": "空格", "quad": quads[0]}],
        "skipped": [
            {"text": "换行", "reason": "confidence 0.980 is not above 0.98"},
            {"text": "自", "reason": "confidence 0.700 is not above 0.98"},
        ],
        "font": "sans_sc_regular",
    }
    assert output.image[:60].any()
    assert not output.image[60:].any()


def test_the_same_string_twice_is_rendered_twice(tmp_path: Path) -> None:
    boxes = [
        {"text": "符", "confidence": 0.99, "quad": box(20, 20 + 60 * row, 60, 60 + 60 * row).tolist()}
        for row in range(2)
    ]
    (output,) = make_glyph_renderer(GlyphParameters())([task(boxes, tmp_path / "edges.png")])
    assert isinstance(output, Output)
    assert len(output.record["rendered"]) == 2


def test_a_missing_font_stops_before_anything_is_rendered(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.ttf"):
        GlyphParameters(font=tmp_path / "none.ttf").preflight()
    GlyphParameters().preflight()


def test_ocr_reads_the_rendered_legends_back(tmp_path: Path) -> None:
    words = ["前往", "空格", "换行", "中/英", "123", "Space", "Q", "G"]
    legends = [
        Legend(
            word,
            box(
                20 + 120 * (i % 2),
                15 + 60 * (i // 2),
                20 + 120 * (i % 2) + 16 * len(word) + 10,
                41 + 60 * (i // 2),
            ),
        )
        for i, word in enumerate(words)
    ]
    image = render(*legends).image
    reader = TextReader(embedded_weights(tmp_path))
    readings = reader.read_quads(
        np.repeat(image[..., None], 3, axis=2), np.array([it.quad for it in legends])
    )
    assert [text for text, _ in readings] == words
    assert min(confidence for _, confidence in readings) > 0.9


# --- weight ------------------------------------------------------------------------------------------------


def written(
    font: str, ink: tuple[int, ...], ground: tuple[int, ...], height: float
) -> tuple[np.ndarray, list[Legend]]:
    """Draw a skin with legends of a shipped font; quads leave what the reader's leave around the ink."""
    texts = ["Q", "W", "Space", "空格", "换行", "123", "G", "中/英"]
    legends = []
    for i, text in enumerate(texts):
        left, top, right, bottom = ink_box(text, FONT)
        width = height * (right - left) / (bottom - top)
        x, y = 20 + 120 * (i % 2), 20 + 60 * (i // 2)
        legends.append(Legend(text, box(x, y, x + width + 0.23 * height, y + height)))
    lines = (
        render_legends(
            np.zeros((SIZE, SIZE), np.uint8), legends, font=font_path(font), min_height_px=5, margin=0.115
        ).image[:, :, None]
        / 255
    )
    picture = lines * np.array(ink) + (1 - lines) * np.array(ground)
    return np.round(picture).astype(np.uint8), legends


@pytest.mark.parametrize("height", [13, 20, 32])
@pytest.mark.parametrize(("ink", "ground"), [((20, 20, 60), (240, 230, 220)), ((250, 240, 90), (90, 30, 40))])
@pytest.mark.parametrize("font", ["sans_sc_regular", "sans_sc_bold"])
def test_the_weight_is_that_of_the_skins_own_type(
    font: str, ink: tuple[int, ...], ground: tuple[int, ...], height: float, tmp_path: Path
) -> None:
    picture, legends = written(font, ink, ground, height)
    bold = font_path("sans_sc_bold")
    assert is_bold(picture, legends, FONT, bold, 0.115) == (font == "sans_sc_bold")
    boxes = [{"text": one.text, "confidence": 0.999, "quad": one.quad.tolist()} for one in legends]
    (output,) = make_glyph_renderer(GlyphParameters())([task(boxes, tmp_path / "edges.png", picture)])
    assert isinstance(output, Output)
    assert output.record["font"] == font
    (output,) = make_glyph_renderer(GlyphParameters(font=FONT))([task(boxes, tmp_path / "e.png", picture)])
    assert isinstance(output, Output)
    assert output.record["font"] == "sans_sc_regular", "the user's own font has one weight"


def test_without_legends_the_type_is_regular() -> None:
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    assert not is_bold(picture, [], FONT, font_path("sans_sc_bold"), 0.115)
    assert not is_bold(picture, [Legend("龘", box(60, 60, 100, 100))], FONT, font_path("sans_sc_bold"), 0.115)


# --- outlines ----------------------------------------------------------------------------------------------


def test_outlines_are_the_edges_of_the_filled_glyphs_at_the_same_place() -> None:
    quad = box(60.4, 100.7, 140, 140)
    filled = render(Legend("空格", quad), margin=0.0).image
    drawn = render_legends(
        np.zeros((SIZE, SIZE), np.uint8), [Legend("空格", quad)], font=FONT, min_height_px=10, margin=0.0,
        style=GlyphStyle(style="outline"),
    ).image  # fmt: skip
    assert set(np.unique(drawn)) == {0, 255}
    traced = trace_edges(np.repeat(filled[:, :, None], 3, axis=2)) > 0
    np.testing.assert_array_equal(drawn > 0, traced)


@pytest.mark.parametrize(
    ("style", "outlined"), [("filled", [False] * 3), ("outline", [True] * 3), ("auto", [False, True, True])]
)
def test_each_legend_is_shown_in_the_style_for_its_size(style: str, outlined: list[bool]) -> None:
    sizes = (14, 24, 40)
    legends = [Legend("口", box(20, 10 + 60 * i, 20 + px, 10 + 60 * i + px)) for i, px in enumerate(sizes)]
    drawn = render_legends(
        np.zeros((SIZE, SIZE), np.uint8), legends, font=FONT, min_height_px=10, margin=0.0,
        style=GlyphStyle(style=style, outline_from_px=20),
    ).image  # fmt: skip
    filled = render(*legends, margin=0.0).image
    for row, is_outline in enumerate(outlined):
        rows = slice(60 * row, 60 * row + 60)
        assert bool((drawn[rows] != filled[rows]).any()) == is_outline
        assert drawn[rows].any()


@pytest.mark.parametrize("margin", [READ_MARGIN, 0.0])
def test_positions_are_those_of_the_legends_that_are_shown(margin: float) -> None:
    """They leave as much room around the ink as the text reader does, whatever the quads leave."""
    quad = box(20.2, 20.2, 59.8, 39.8)
    own = draw_in(quad[None], READ_MARGIN - margin)[0]
    legends = [Legend("前往", own), Legend("tiny", box(100, 100, 120, 104))]
    background = np.zeros((SIZE, SIZE), np.uint8)
    plain, shown = (
        render_legends(background, legends, font=FONT, min_height_px=10, margin=margin, style=style).image
        for style in (GlyphStyle(), GlyphStyle(positions=True))
    )
    np.testing.assert_array_equal(shown[..., 0], plain)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[20:40, 20:60] = True
    np.testing.assert_array_equal(shown[..., 2] == 255, inside)


def test_legends_of_one_size_are_shown_alike() -> None:
    """Their quads, as they are measured, differ by parts of a pixel."""
    legends = []
    for i, (letter, em) in enumerate([("x", 19.7), ("z", 20.3), ("o", 19.9), ("p", 20.1)]):
        left, top, right, bottom = ink_box(letter, FONT)
        legends.append(
            Legend(letter, box(20 + 20 * i, 20, 20 + 20 * i + em * (right - left), 20 + em * (bottom - top)))
        )
    drawn = render_legends(
        np.zeros((SIZE, SIZE), np.uint8), legends, font=FONT, min_height_px=5, margin=0.0,
        style=GlyphStyle(style="auto", outline_from_px=20),
    ).image  # fmt: skip
    assert set(np.unique(drawn[:, :100])) == {0, 255}, "a filled glyph has greys"


def test_only_what_changes_the_picture_is_part_of_the_key() -> None:
    def key(**changes: object) -> dict[str, object]:
        return GlyphParameters(**changes).item_parameters()

    assert key() == key(outline_from_px=30.0) == key(num_workers=2) == key(positions=False)
    assert key() != key(positions=True)
    assert key() != key(style="outline")
    assert key(style="auto") != key(style="auto", outline_from_px=30.0)
