"""The second recogniser, on drawn legends. Skipped by name where Tesseract or its models are missing."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from skin_pipeline.errors import MissingWeightsError
from skin_pipeline.recognition import tesseract
from skin_pipeline.recognition.tesseract import LINE_HEIGHT_PX, PAPER_PX, TesseractRecognizer, as_print
from skin_pipeline.typefaces import font_path, load_font


@pytest.fixture(scope="module")
def recognizer() -> TesseractRecognizer:
    try:
        return TesseractRecognizer()
    except MissingWeightsError as error:
        pytest.skip(str(error))


def crop(text: str, ink: str = "black", paper: str = "white", size_px: int = 30) -> np.ndarray:
    font = load_font(font_path("sans_sc_regular"), size_px)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("RGB", (int(right - left) + 4, int(bottom - top) + 4), paper)
    ImageDraw.Draw(picture).text((2 - left, 2 - top), text, ink, font)
    return np.asarray(picture)


def test_legends_of_both_scripts_are_read_in_the_order_of_their_crops(
    recognizer: TesseractRecognizer,
) -> None:
    words = ["空格", "Space", "发送", "ABC", "123", "Q"]
    found = recognizer.recognize([crop(word) for word in words])
    assert [text for text, _ in found] == words
    assert all(0.5 < confidence <= 1 for _, confidence in found)
    assert recognizer.recognize([crop(word) for word in words[::-1]]) == found[::-1]


@pytest.mark.parametrize(
    ("ink", "paper"), [("#f0f0f0", "#202428"), ("#c83232", "#32a032"), ("#404040", "#505050")]
)
def test_colours_do_not_matter(recognizer: TesseractRecognizer, ink: str, paper: str) -> None:
    (found,) = recognizer.recognize([crop("返回", ink, paper)])
    assert found[0] == "返回"


def test_a_crop_without_text_is_empty(
    recognizer: TesseractRecognizer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (
        recognizer.recognize([np.full((20, 40, 3), 90, np.uint8), np.zeros((1, 1, 3), np.uint8)])
        == [("", 0.0)] * 2
    )
    assert recognizer.recognize([]) == []
    assert capfd.readouterr() == ("", "")


def test_its_name_tells_version_and_languages(recognizer: TesseractRecognizer) -> None:
    assert recognizer.name.startswith("tesseract ")
    assert recognizer.name.endswith("(eng, chi_sim)")


def test_print_is_dark_on_white_at_one_height() -> None:
    light_on_dark = as_print(crop("Q", "#ffffff", "#000000", 15))
    assert light_on_dark.shape[0] == LINE_HEIGHT_PX + 2 * PAPER_PX
    assert light_on_dark[0].min() == 255
    assert light_on_dark.min() == 0
    dark_on_light = as_print(crop("Q", "#000000", "#ffffff", 15))
    assert np.abs(light_on_dark.astype(int) - dark_on_light).max() <= 2


def test_a_long_thin_crop_does_not_explode() -> None:
    assert as_print(np.zeros((1, 5000, 3), np.uint8)).shape[1] <= tesseract.WIDEST_PX + 2 * PAPER_PX


def test_missing_models_say_what_to_install(tmp_path: Path) -> None:
    pytest.importorskip("tesserocr")
    with pytest.raises(MissingWeightsError, match=r"eng, chi_sim are not in .*tesseract-ocr-chi-sim"):
        TesseractRecognizer(tmp_path)


def test_a_named_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    (tmp_path / "eng.traineddata").touch()
    assert tesseract._find_models(None, ["eng"]) == tmp_path


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tesserocr", None)
    with pytest.raises(MissingWeightsError, match=r"tesserocr is not installed.*'tesseract' extra"):
        TesseractRecognizer()
