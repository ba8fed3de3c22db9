from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from skin_pipeline.recognition.recognizers import PaddleRecognizer
from skin_pipeline.recognition.weights import embedded_weights
from skin_pipeline.typefaces import font_path, load_font


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> PaddleRecognizer:
    return PaddleRecognizer(embedded_weights(tmp_path_factory.mktemp("ocr")))


def crop(word: str) -> np.ndarray:
    font = load_font(font_path("sans_sc_regular"), 40)
    left, top, right, bottom = font.getbbox(word)
    picture = Image.new("RGB", (int(right - left) + 12, int(bottom - top) + 12), "white")
    ImageDraw.Draw(picture).text((6 - left, 6 - top), word, "black", font)
    return np.asarray(picture)


def test_networks_see_blue_first_and_give_plain_letters(
    recognizer: PaddleRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []

    def predict(crops: Sequence[np.ndarray], **_: Any) -> list[dict[str, Any]]:
        seen.extend(crops)
        return [{"rec_text": " Ａ９，", "rec_score": 0.5} for _ in crops]

    monkeypatch.setattr(recognizer._network, "predict", predict)
    red = np.zeros((10, 20, 3), np.uint8)
    red[..., 0] = 255
    assert recognizer.recognize([red]) == [("A9，", 0.5)]
    assert seen[0][0, 0].tolist() == [0, 0, 255]


def test_a_crop_is_read_alike_in_any_company_and_order(recognizer: PaddleRecognizer) -> None:
    words = ["空格", "A", "Space", "前往", "7", "Numbers and symbols", "Return"]
    crops = [crop(word) for word in words]
    together = recognizer.recognize(crops)
    assert [text for text, _ in together] == words
    alone = [recognizer.recognize([one])[0] for one in crops]
    reversed_ = recognizer.recognize(crops[::-1])[::-1]
    for one, other, another in zip(together, alone, reversed_, strict=True):
        assert one[0] == other[0] == another[0]
        assert one[1] == pytest.approx(other[1], abs=1e-5)
        assert one[1] == pytest.approx(another[1], abs=1e-5)
    assert recognizer.recognize([]) == []


def test_it_names_its_weights(recognizer: PaddleRecognizer) -> None:
    assert recognizer.name == "PP-OCRv6_small_rec"
