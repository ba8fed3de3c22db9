"""Which of several findings is kept."""

import numpy as np
import pytest

from skin_pipeline.geometry import FloatArray, quads_of
from skin_pipeline.recognition.overlaps import drop_duplicates, drop_nested, intersections, is_spread


def boxes(*values: tuple[float, float, float, float]) -> FloatArray:
    return quads_of(values)


def test_intersections_of_known_boxes() -> None:
    shared = intersections(boxes((0, 0, 4, 2), (2, 1, 6, 3), (10, 10, 11, 11)))
    assert shared.tolist() == [[8, 2, 0], [2, 8, 0], [0, 0, 1]]


def test_the_best_of_the_same_findings_stays() -> None:
    quads = boxes((0, 0, 10, 10), (0, 0, 10, 9), (20, 0, 30, 10))
    assert drop_duplicates(quads, np.array([0.6, 0.9, 0.5])) == [1, 2]


def test_nothing_is_dropped_from_nothing() -> None:
    empty = boxes()
    assert drop_duplicates(empty, np.zeros(0)) == []
    assert drop_nested(empty, [], []) == []


def test_a_word_wins_over_its_parts() -> None:
    quads = boxes((0, 0, 40, 10), (0, 0, 12, 10), (28, 0, 40, 10))
    assert drop_nested(quads, ["中/英", "中", "英"], [0.99, 0.99, 0.99]) == [0]


def test_a_sure_part_wins_over_an_unsure_whole() -> None:
    quads = boxes((0, 0, 40, 10), (0, 0, 12, 10), (28, 0, 40, 10))
    assert drop_nested(quads, ["QvP", "Q", "P"], [0.5, 0.99, 0.98]) == [1, 2]


@pytest.mark.parametrize(
    ("width", "text", "expected"),
    [(300, "QWERTY", True), (60, "Space", False), (200, "Q W E", True), (60, "abc def", False)],
)
def test_letters_of_keys_are_farther_apart_than_letters_of_words(
    width: float, text: str, expected: bool
) -> None:
    assert is_spread(boxes((0, 0, width, 30))[0], text) is expected
