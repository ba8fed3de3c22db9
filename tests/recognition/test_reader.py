"""The real engine on drawn keyboards: what is found, what it says, where it is."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw

from skin_pipeline.recognition.read_text import ReadText
from skin_pipeline.recognition.reader import TextReader, _agree
from skin_pipeline.recognition.weights import embedded_weights
from skin_pipeline.skins.drawn import DrawnSkin, draw_skin
from skin_pipeline.typefaces import font_path, load_font


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> TextReader:
    return TextReader(embedded_weights(tmp_path_factory.mktemp("ocr")))


def keyboard(rows: Sequence[str], *, bordered: bool = True) -> np.ndarray:
    """Draw rows of single letters on keys of 72 x 96 px."""
    picture = Image.new("RGB", (720, 130 * len(rows)), (30, 32, 38))
    pen, font = ImageDraw.Draw(picture), load_font(font_path("sans_sc_regular"), 44)
    for row, letters in enumerate(rows):
        left = (720 - 72 * len(letters)) / 2
        for column, letter in enumerate(letters):
            x, y = left + 72 * column, 130 * row + 17
            if bordered:
                pen.rounded_rectangle((x + 4, y, x + 68, y + 96), 8, (70, 74, 84))
            pen.text((x + 36, y + 62), letter, (240, 240, 245), font, anchor="ms")
    return np.asarray(picture)


def over(found: Sequence[ReadText], centre: np.ndarray) -> list[str]:
    """Return the texts whose box covers a point."""
    return [
        text.text
        for text in found
        if (text.quad.min(axis=0) <= centre).all() and (centre <= text.quad.max(axis=0)).all()
    ]


def read_share(skin: DrawnSkin, found: Sequence[ReadText], texts: Sequence[str]) -> float:
    legends = [legend for legend in skin.legends if legend.text in texts]
    return float(np.mean([over(found, legend.quad.mean(axis=0)) == [legend.text] for legend in legends]))


def test_every_word_of_a_chinese_nine_key_is_read_exactly(reader: TextReader) -> None:
    skin = next(
        skin
        for skin in (draw_skin(seed, width_px=1080, height_px=810, layout="9_key") for seed in range(50))
        if sum(not legend.text.isascii() for legend in skin.legends) >= 4
    )
    words = [legend.text for legend in skin.legends if len(legend.text) > 1 and not legend.text.isascii()]
    assert read_share(skin, reader.read(skin.image), words) == 1.0


def test_nearly_every_letter_of_a_26_key_is_read(reader: TextReader) -> None:
    skin = draw_skin(8, width_px=1080, height_px=810, layout="26_key")
    found = reader.read(skin.image)
    assert read_share(skin, found, "QWERTYUPASDFGHJKLZXCVBNM") >= 0.95
    assert all(text.text and 0 < text.confidence <= 1 for text in found)


def test_quads_lie_around_the_ink(reader: TextReader) -> None:
    image = keyboard(["QWERTY", "ASDFGH"])
    for text in reader.read(image):
        left, top, right, bottom = (*text.quad.min(axis=0), *text.quad.max(axis=0))
        ink = image[round(top) : round(bottom), round(left) : round(right), 0] > 150
        assert ink[2:-2, 2:-2].sum() >= 0.98 * ink.sum() > 0, text
        assert bottom - top < 60, text


def test_lower_case_letters_keep_their_case(reader: TextReader) -> None:
    found = reader.read(keyboard(["qwertzup", "asdfghjk", "yxcvbnm"]))
    assert "".join(text.text for text in found if text.text.isupper()) == ""
    corrected = {text.text for text in found if text.alone[0] != text.text}
    assert corrected & set("wzsxcv"), "the recogniser alone was never corrected: is settling needed?"


def test_a_row_of_borderless_keys_is_read_key_by_key(reader: TextReader) -> None:
    found = reader.read(keyboard(["ASDFGHJKL"], bordered=False))
    assert [text.text for text in sorted(found, key=lambda text: text.quad[0, 0])] == list("ASDFGHJKL")


def test_the_parts_of_a_row_must_say_what_the_row_said() -> None:
    assert _agree("Q W E", ["Q", "w", "E"])
    assert _agree("符号中/英", ["符号", "中/英"])
    assert not _agree("Space", ["S", ""])
    assert not _agree("Space", ["1", "l"])


def test_a_blank_picture_has_no_text(reader: TextReader) -> None:
    assert reader.read(np.full((300, 400, 3), 128, np.uint8)) == []


def test_a_picture_smaller_than_every_detection_size_is_read(reader: TextReader) -> None:
    picture = Image.new("RGB", (240, 96), "white")
    ImageDraw.Draw(picture).text((60, 25), "Space", "black", load_font(font_path("grotesque"), 40))
    (found,) = reader.read(np.asarray(picture))
    assert found.text == "Space"
    np.testing.assert_allclose(found.quad.mean(axis=0), [115, 48], atol=8)
