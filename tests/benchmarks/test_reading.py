import numpy as np
import pytest

from benchmarks.reading import LABELS, count, kept, labels_of, main, read_labels
from skin_pipeline.recognition.read_text import ReadText

SKIN = {"layout": "qwertz", "case": "lower", "bar": False, "space": "HU • EN"}
ROWS = ["qwertzuiop", "asdfghjkl", "yxcvbnm"]


def test_labels_lie_where_the_layout_has_them() -> None:
    labels = list(labels_of(SKIN, ROWS))
    centres = {label.text: label.centre for label in labels if label.kind == "letter"}
    assert len(centres) == 26
    assert centres["q"] == pytest.approx((0.05, 0.115))
    assert centres["a"][0] == pytest.approx(0.1)
    assert centres["y"][0] == pytest.approx(0.2)
    assert [label.text for label in labels if label.kind == "word"] == ["?123", "HU • EN"]
    assert sum(label.kind == "hint" for label in labels) == 10


def test_every_labelled_picture_has_all_its_letters() -> None:
    labels = dict(read_labels())
    assert len(labels) >= 30, LABELS
    assert all(sum(one.kind == "letter" for one in legends) == 26 for legends in labels.values())


def test_a_reading_counts_once_and_only_in_its_place() -> None:
    labels = list(labels_of(SKIN, ROWS))
    texts = [
        ("q", (0.06, 0.12)),
        ("q", (0.05, 0.11)),
        ("w", (0.9, 0.12)),
        ("HU·EN", (0.5, 0.9)),
        ("Q", (0.05, 0.1)),
    ]
    counts = count(labels, texts)
    assert (counts.kept, counts.right) == (5, 2)
    assert counts.found == {"letter": 1, "word": 1, "hint": 0, "mark": 0}


def test_systems_differ_in_what_the_keyboard_added() -> None:
    quad = np.zeros((4, 2))
    found = [
        (ReadText("i", 0.99, quad, ("", 0.0)), (0.1, 0.1)),
        (ReadText("w", 0.99, quad, ("W", 0.5)), (0.2, 0.1)),
        (ReadText("自", 0.5, quad, ("自", 0.99)), (0.3, 0.1)),
    ]
    assert [text for text, _ in kept(found, 0.9, "agreed")] == ["i", "w"]
    assert [text for text, _ in kept(found, 0.9, "alone")] == ["自"]
    assert [text for text, _ in kept(found, 0.4, "case")] == ["W", "自"]


def test_without_pictures_it_says_so(tmp_path) -> None:
    with pytest.raises(SystemExit, match=r"none of the pictures that reading_labels\.yml names"):
        main([str(tmp_path)])
