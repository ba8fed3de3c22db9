import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skin_pipeline.items import Item, Output, Task
from skin_pipeline.prep.duplicates import colour_grid
from skin_pipeline.prep.edges import trace_edges
from skin_pipeline.prep.quality import edge_quality
from skin_pipeline.prep.select import SelectionParameters, make_selection_measurer, reasons_to_leave_out

from .conftest import draw_skin

OTHER = ["空格", 0.5, 0.5, 0.1, 0.1]
GRID = colour_grid(np.full((12, 12, 3), 128, np.uint8))
RECORD = {
    "phash": "0" * 16,
    "colours": GRID,
    "edges": {"length_sides": 20.0, "speck_share": 0.02, "score": 0.95},
    "caption_words": "blue keys",
    "caption_tokens": 12,
    "legends": [["前往", 0.5, 0.5, 0.1, 0.1]],
}


def reasons(records: dict[str, dict[str, Any]], **parameters: Any) -> dict[str, str]:
    return reasons_to_leave_out(records, SelectionParameters(**parameters))


def test_the_worker_measures_what_the_stages_made(tmp_path: Path) -> None:
    edges = trace_edges(np.asarray(draw_skin(3, (256, 256))))
    Image.fromarray(edges).save(tmp_path / "edges.png")
    quad = [[64, 32], [128, 32], [128, 64], [64, 64]]
    boxes = [
        {"text": text, "confidence": confidence, "quad": quad}
        for text, confidence in (("q", 0.99), ("w", 0.5))
    ]
    inputs = {
        "screened_skins": Item("a", {"phash": "ab", "colours": "cd"}, ""),
        "edge_maps": Item("a", {}, "", tmp_path / "edges.png"),
        "captions": Item(
            "a", {"caption": "a skin of blue keys,x", "prefix": "a skin of", "suffix": ",x"}, ""
        ),
        "text_boxes": Item("a", {"boxes": boxes}, ""),
    }
    worker = pickle.loads(pickle.dumps(make_selection_measurer(0.9)))  # noqa: S301
    (output,) = worker([Task("a", inputs)])
    assert isinstance(output, Output)
    quality = edge_quality(edges)
    assert output.record["edges"] == vars(quality)
    assert output.record["caption_words"] == "blue keys"
    assert output.record["caption_tokens"] > 5
    assert (output.record["phash"], output.record["colours"]) == ("ab", "cd")
    assert output.record["legends"] == [["q", 0.375, 0.1875, 0.25, 0.125]]


@pytest.mark.parametrize(
    ("change", "limit", "reason"),
    [
        (
            {"edges": {"length_sides": 0.5, "speck_share": 0.1, "score": 0.05}},
            {},
            "edges that condition nothing: edge map score 0.05 (edges of 0.5 sides, 10% of it specks), "
            "expected at least 0.25.",
        ),
        (
            {"caption_words": "an arafed keyboard"},
            {},
            "caption with banned terms: banned terms 1 (araf*), expected at most 0.",
        ),
        (
            {"caption_words": ""},
            {"caption_words": {"at_least": 1, "action": "reject"}},
            "empty caption: caption words 0, expected at least 1.",
        ),
        (
            {"caption_tokens": 80},
            {"caption_tokens": {"at_most": 77, "action": "reject"}},
            "caption too long: caption tokens 80, expected at most 77.",
        ),
        (
            {"legends": []},
            {"legends": {"at_least": 1, "action": "reject"}},
            "no legends: legends 0, expected at least 1.",
        ),
        (
            {"caption_words": "keys keys xkcd keys"},
            {name: {"at_most": 0, "action": "reject"} for name in ("repeated_words", "non_words")},
            "caption repeats itself: repeated words 0.5 (keys), expected at most 0. "
            "caption with non-words: non-words 1 (xkcd), expected at most 0.",
        ),
    ],
)
def test_each_limit_says_what_was_measured(change: dict, limit: dict, reason: str) -> None:
    records = {"good": RECORD | {"phash": "f" * 16}, "bad": RECORD | change}
    assert reasons(records, **limit) == {"bad": reason}


def test_what_is_only_reported_stays() -> None:
    assert reasons({"a": RECORD | {"legends": [], "caption_words": "", "caption_tokens": 99}}) == {}


def test_repeats_name_the_skin_that_stays() -> None:
    records = {"a": RECORD, "b": RECORD | {"phash": f"{3:016x}"}, "c": RECORD | {"legends": [OTHER]}}
    assert reasons(records) == {
        "b": "repeats 'a', which is kept: the same legends, 2 of 64 hash bits apart (at most 3), colours 0 "
        "apart (at most 2.3)."
    }
    assert reasons(records, repeats={"action": "report"}) == {}
    assert reasons(records, repeats={"action": "reject", "max_bits": 1}) == {}


def test_a_skin_that_is_left_out_keeps_nobody_else_away() -> None:
    bad = RECORD | {"edges": {"length_sides": 0.0, "speck_share": 0.0, "score": 0.0}}
    assert set(reasons({"a": bad, "b": RECORD})) == {"a"}
