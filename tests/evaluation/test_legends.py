from collections.abc import Sequence

import numpy as np
import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.evaluation.legends import (
    LegendReading,
    height_bin,
    normalise,
    normalised_edit_similarity,
    read_legends,
    score_readings,
    script_of,
)
from skin_pipeline.geometry import quads_of

PAIRS = [
    ("空格", "空格"),
    ("前住", "前往"),
    ("", "Space"),
    ("Spoce", "Space"),
    ("ABC", "DEF"),
    ("?123", "123"),
]


def anytext(pairs: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """The figures of AnyText's eval_dgocr.py, with a plain table in place of the Levenshtein package."""

    def distance(one: str, other: str) -> int:
        table = np.zeros((len(one) + 1, len(other) + 1), int)
        table[:, 0], table[0] = np.arange(len(one) + 1), np.arange(len(other) + 1)
        for i, a in enumerate(one, 1):
            for j, b in enumerate(other, 1):
                table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b))
        return int(table[-1, -1])

    sen_acc = [1 if pred == gt else 0 for pred, gt in pairs]
    edit_dist = [1 - distance(pred, gt) / (max(len(pred), len(gt)) + 1e-5) for pred, gt in pairs]
    return float(np.array(sen_acc).mean()), float(np.array(edit_dist).mean())


def reading(truth: str, read: str, picture_id: str = "a", height_px: float = 24) -> LegendReading:
    return LegendReading(picture_id, truth, read, 0.9, height_px)


def test_figures_are_those_of_anytexts_script() -> None:
    rng = np.random.default_rng(0)
    alphabet = list("abcXYZ019空格前往符号")
    words = ["".join(rng.choice(alphabet, rng.integers(0, 7))) for _ in range(400)]
    pairs = [*PAIRS, *zip(words[::2], words[1::2], strict=True), *((word, word) for word in words[:50])]
    scores = score_readings(reading(gt, pred, str(i % 17)) for i, (pred, gt) in enumerate(pairs))
    expected = anytext(pairs)
    assert scores.overall.sentence_accuracy.estimate == pytest.approx(expected[0], abs=1e-9)
    assert scores.overall.ned.estimate == pytest.approx(expected[1], abs=1e-9)
    assert scores.overall.num_legends == len(pairs)
    assert scores.overall.num_pictures == 17


@pytest.mark.parametrize(
    ("read", "truth", "expected"),
    [
        ("空格", "空格", 1.0),
        ("前住", "前往", 0.5),
        ("", "Space", 0.0),
        ("Spoce", "Space", 0.8),
        ("", "", 1.0),
    ],
)
def test_similarities_known_by_hand(read: str, truth: str, expected: float) -> None:
    assert normalised_edit_similarity(read, truth) == pytest.approx(expected, abs=1e-4)


def test_order_changes_nothing() -> None:
    readings = [reading(gt, pred, str(i % 4), 10 + 7 * i) for i, (pred, gt) in enumerate(PAIRS * 5)]
    assert score_readings(readings) == score_readings(readings[::-1])


def test_groups_are_scored_apart() -> None:
    readings = [
        reading("空格", "空格", height_px=16),
        reading("中/英", "中英", height_px=19.9),
        reading("W", "w", height_px=20),
        reading("123", "123", height_px=90),
    ]
    scores = score_readings(readings)
    assert {script: score.sentence_accuracy.estimate for script, score in scores.by_script.items()} == {
        "Latin": 0.0,
        "Chinese": 0.5,
        "digits/symbols": 1.0,
    }
    assert {height: score.num_legends for height, score in scores.by_height.items()} == {
        "16": 2,
        "20": 1,
        "48+": 1,
    }
    assert scores.by_script_and_height[("Chinese", "16")].num_legends == 2
    rows = scores.as_rows()
    assert [(row["script"], row["height_px"]) for row in rows[:2]] == [("all", "all"), ("Latin", "all")]
    assert sum(row["num_legends"] for row in rows if row["height_px"] == "all") == 8  # type: ignore[misc]


def test_pictures_are_what_is_redrawn() -> None:
    """Two pictures of which all or no legends are right: both bounds are reached."""
    readings = [reading("A", "A", "right")] * 50 + [reading("A", "B", "wrong")] * 50
    accuracy = score_readings(readings).overall.sentence_accuracy
    assert (accuracy.low, accuracy.estimate, accuracy.high) == (0.0, 0.5, 1.0)


def test_a_picture_counts_by_its_legends() -> None:
    readings = [reading("A", "A", "one")] + [reading("A", "B", "three")] * 3
    assert score_readings(readings).overall.sentence_accuracy.estimate == 0.25


def test_strict_unless_asked_otherwise() -> None:
    readings = [reading("W", "w"), reading("A！", "Ａ!"), reading("空", "空")]

    def accuracy(**options: str) -> float:
        return score_readings(readings, **options).overall.sentence_accuracy.estimate  # type: ignore[arg-type]

    assert accuracy() == pytest.approx(1 / 3)
    assert accuracy(normalisation="width") == pytest.approx(2 / 3)
    assert accuracy(normalisation="width_and_case") == 1.0
    assert normalise("Ｗ　１", "width_and_case") == "w 1"
    assert normalise("①空", "width") == "①空"


@pytest.mark.parametrize(
    ("height_px", "name"),
    [(3, "<12"), (12, "12"), (15.9, "12"), (31.9, "28"), (32, "32"), (47.9, "32"), (48, "48+"), (200, "48+")],
)
def test_height_bins(height_px: float, name: str) -> None:
    assert height_bin(height_px) == name


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Space", "Latin"),
        ("空格", "Chinese"),
        ("中/英", "Chinese"),
        ("?123", "digits/symbols"),
        ("，", "digits/symbols"),
    ],
)
def test_scripts(text: str, script: str) -> None:
    assert script_of(text) == script


class Sizes:
    """Reads the size of a crop and its commonest value."""

    name = "sizes"

    def recognize(self, crops: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        return [(f"{crop.shape[1]}x{crop.shape[0]}:{int(np.median(crop))}", 0.5) for crop in crops]


def test_legends_are_read_where_they_are() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[10:30, 20:60] = 7
    picture[40:90, 100:120] = 9
    quads = quads_of([[20, 10, 60, 30], [100, 40, 120, 90], [100, 40, 120, 90]])
    readings = read_legends(picture, quads, ["空格", "空格", "I"], Sizes(), "skin")
    assert [one.read for one in readings] == ["40x20:7", "50x20:9", "20x50:9"]  # the second runs downwards
    assert [one.height_px for one in readings] == [20, 20, 50]
    assert {one.picture_id for one in readings} == {"skin"}
    (inner,) = read_legends(picture, quads[:1], ["空格"], Sizes(), inset=0.1)
    assert (inner.read, inner.height_px) == ("36x16:7", 16)
    assert read_legends(picture, [], [], Sizes()) == []


def test_every_legend_needs_a_place_and_a_text() -> None:
    with pytest.raises(InputError, match="Picture 'kb_1' has 1 quads but 2 texts"):
        read_legends(np.zeros((9, 9, 3), np.uint8), quads_of([[0, 0, 5, 5]]), ["a", "b"], Sizes(), "kb_1")
    with pytest.raises(InputError, match="at least one legend"):
        score_readings([])
