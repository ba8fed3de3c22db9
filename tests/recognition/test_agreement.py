"""The legends of a keyboard settle each other's case, and letters in the order of a layout much more."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from skin_pipeline.geometry import FloatArray, quads_of
from skin_pipeline.recognition.agreement import agree_with_layout, joint_confidence, settle_case
from skin_pipeline.recognition.read_text import ReadText

GATE = 0.98


def settled(texts: str) -> str:
    letters = texts.split()
    return " ".join(settle_case(letters, [0.99] * len(letters)))


def test_letters_of_one_shape_follow_the_lower_case() -> None:
    assert settled("q W e r t Z S d f g h I 123 EN") == "q w e r t z s d f g h l 123 EN"


def test_letters_of_one_shape_follow_the_upper_case() -> None:
    assert settled("Q w E R T z s D F G H l 1") == "Q W E R T Z S D F G H I 1"


def test_a_lone_mistake_does_not_change_the_vote() -> None:
    assert settled("q e r t d f g h B n W") == "q e r t d f g h B n w"


@pytest.mark.parametrize("texts", ["q e W", "q e r D F G W", "前往 空格 W s"])
def test_nothing_changes_without_a_clear_vote(texts: str) -> None:
    assert settled(texts) == texts


def test_unsure_letters_do_not_vote() -> None:
    assert settle_case(["q", "e", "r", "t", "W"], [0.5, 0.99, 0.99, 0.99, 0.99])[-1] == "W"


def at(text: str, x: float, y: float, confidence: float = 0.9, size: float = 40) -> ReadText:
    (quad,) = quads_of([[x - size / 2, y - size / 2, x + size / 2, y + size / 2]])
    return ReadText(text, confidence, quad)


def row(letters: str, y: float = 100, confidence: float = 0.9) -> list[ReadText]:
    """Letters at 100 px from each other; ``.`` was not read."""
    return [at(letter, 100.0 * i, y, confidence) for i, letter in enumerate(letters) if letter != "."]


class Crops:
    """What is read where something is looked for again."""

    def __init__(self, texts: Mapping[int, str]) -> None:
        self.texts = texts
        self.looked_at: list[int] = []

    def __call__(self, quads: FloatArray) -> list[tuple[FloatArray, str, float]]:
        places = [round(float(quad.mean(axis=0)[0]) / 100) for quad in quads]
        self.looked_at += places
        return [(quad, self.texts.get(at, ""), 0.6) for quad, at in zip(quads, places, strict=True)]


def agreed(found: Sequence[ReadText], **again: str) -> dict[str, float]:
    crops = Crops({int(place.removeprefix("at")): text for place, text in again.items()})
    return {text.text: text.confidence for text in agree_with_layout(found, crops)}


def test_letters_in_their_places_become_sure() -> None:
    found = agreed(row("qwertyuiop", confidence=0.5))
    assert "".join(found) == "qwertyuiop"
    assert min(found.values()) > GATE


def test_case_follows_the_row_even_where_shapes_differ() -> None:
    assert "".join(agreed(row("QWERTyuIOP"))) == "QWERTYUIOP"
    assert sorted(agreed(row("qWertyulOp"), at7="l")) == sorted("qwertyuiop")  # the l in place of i as well


def test_a_missing_letter_is_looked_for_in_its_place_only() -> None:
    crops = Crops({7: "l", 3: "8"})
    texts = agree_with_layout(row("qwe.tyu.op"), crops)
    assert crops.looked_at == [3, 7]
    assert "".join(text.text for text in texts) == "qwetyuopi"  # what is read as 8 is no r
    added = texts[-1]
    assert added.alone == ("", 0.0)
    np.testing.assert_allclose(added.quad.mean(axis=0)[0], 700)
    assert added.confidence > GATE


def test_a_row_read_as_one_string_is_split_by_position() -> None:
    lower = [*row("asdfghjkl", 200), *row(".zxcvbnm", 300)]
    lower = [at(text.text, text.quad[0, 0] + 20 + 50, text.quad[0, 1] + 20) for text in lower]
    (quad,) = quads_of([[-20, 80, 920, 120]])
    merged = ReadText("q¹ w²e³ r⁴ t° z°u'i°o°p", 0.6, quad)
    again = dict(enumerate("qwertyu"))
    texts = agree_with_layout([merged, *lower], Crops(again))
    assert sorted(text.text for text in texts) == sorted("qwertyuasdfghjklzxcvbnm")
    assert min(text.confidence for text in texts) > GATE
    few = agree_with_layout([merged, *lower], Crops({0: "q", 1: "w"}))
    assert merged in few
    assert len(few) == 1 + len(lower)


def test_what_lies_on_a_found_letter_goes() -> None:
    found = agreed([*row("qwertyu.op"), at("•", 700, 80, size=8)], at7="i")
    assert "i" in found
    assert "•" not in found


def test_icons_are_doubted_and_words_are_not() -> None:
    icons = [at("Q", 900, 400, 0.999), at("自", 300, -100, 0.9999), at("•", 500, 400, 0.99)]
    words = [at("?123", 0, 400, 0.99), at("英", 200, 400, 0.99), at("GIF", 200, -100, 0.99)]
    texts = agree_with_layout([*row("qwertyuiop"), *icons, *words], Crops({}))
    kept = [text.text for text in texts if text.confidence > GATE]
    assert kept == [*"qwertyuiop", "?123", "英", "GIF"]
    (doubted,) = [text for text in texts if text.text == "自"]
    assert doubted.alone == ("自", 0.9999)


def test_small_characters_beside_a_letter_are_left_out_of_its_crop() -> None:
    seen: list[FloatArray] = []

    def look(quads: FloatArray) -> list[tuple[FloatArray, str, float]]:
        seen.extend(quads)
        return [(quad, "r", 0.9) for quad in quads]

    agree_with_layout([*row("qwe.tyuiop"), at("4", 328, 90, size=12)], look)
    assert seen[0][:, 0].max() == pytest.approx(322)
    assert seen[0][:, 0].min() == pytest.approx(264)


def test_without_a_known_row_nothing_changes() -> None:
    found = [at("ABC", 100, 100), at("Q", 300, 100, 0.999), at("自", 500, 100, 0.999)]
    assert agree_with_layout(found, Crops({})) == found


def test_two_witnesses_are_surer_than_one() -> None:
    assert joint_confidence(0.5, 0.5) == pytest.approx(25 / 26)
    assert joint_confidence(0.9, 0.9) > joint_confidence(0.5, 0.9) > 0.9
    assert joint_confidence(0.0, 0.9) == 0.0
