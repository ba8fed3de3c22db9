"""The page shows both sides of every limit, stays small, and is the same for the same skins."""

import html.parser
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skin_pipeline.items import Item, Items, encode_png
from skin_pipeline.prep.duplicates import colour_grid
from skin_pipeline.prep.edges import trace_edges
from skin_pipeline.prep.quality import edge_quality
from skin_pipeline.prep.quality_report import EXAMPLES, LISTED, QualitySources, render_report
from skin_pipeline.prep.screen import ScreenParameters, measure_skin, reasons_to_reject
from skin_pipeline.prep.select import SelectionParameters, reasons_to_leave_out

from .conftest import draw_skin

HOSTILE = "<script>alert(1)</script> & \"keys\" 'x' 键盘"


class Page(html.parser.HTMLParser):
    """Collects tags, texts and the sections' figures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def section(page: str, name: str) -> str:
    found = re.search(rf'<section class="check" id="{name}">.*?</section>', page, re.DOTALL)
    assert found, name
    return found[0]


def values(part: str) -> list[float]:
    return [float(value) for value in re.findall(r"<figcaption><b>([^<]+)</b>", part)]


@pytest.fixture
def make_sources(tmp_path: Path) -> Callable[..., QualitySources]:
    """Judge skins as the pipeline would, given what to change of their records."""

    def make(
        count: int, screen: ScreenParameters, selection: SelectionParameters, **changes: dict[int, Any]
    ) -> QualitySources:
        stages: dict[str, list[Item]] = {field.name: [] for field in fields(QualitySources)}
        for number in range(count):
            item_id, pixels = f"mine/skin_{number:03}", np.asarray(draw_skin(number, (96, 60)))
            edges = trace_edges(pixels)
            for kind, image in (("raw", pixels), ("resized", pixels), ("edges", edges)):
                path = tmp_path / kind / f"{item_id}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode_png(image))
            measured = measure_skin(pixels)
            changed = {name: by_number[number] for name, by_number in changes.items() if number in by_number}
            records: dict[str, tuple[dict[str, Any], str | None]] = {
                "screened_skins": (
                    {"source": f"{item_id}.png", "width_px": 96, "height_px": 60, **measured},
                    "raw",
                ),
                "resized_skins": ({"fit": "stretch", "source_size_px": [96, 60]}, "resized"),
                "edge_maps": ({}, "edges"),
                "captions": ({"caption": f"a skin of {changed.get('caption_words', 'blue keys')}"}, None),
                "selected_skins": (
                    {
                        "phash": measured["phash"],
                        "colours": measured["colours"],
                        "edges": vars(edge_quality(edges)),
                        "caption_words": "blue keys",
                        "caption_tokens": 9,
                        "legends": [["q", 0.5, 0.5, 0.1, 0.1]],
                        **changed,
                    },
                    None,
                ),
            }
            for stage, (record, kind) in records.items():
                file = tmp_path / kind / f"{item_id}.png" if kind else None
                stages[stage].append(Item(item_id, record, "", file))
        made = {name: Items(items) for name, items in stages.items()}
        made["screened_skins"] = judged(made["screened_skins"], reasons_to_reject, screen)
        made["selected_skins"] = judged(
            Items(item for item in made["selected_skins"].values() if item.id in made["screened_skins"]),
            reasons_to_leave_out,
            selection,
        )
        return QualitySources(**made)

    return make


def judged(items: Items, judge: Callable[..., dict[str, str]], parameters: Any) -> Items:
    reasons = judge({item_id: item.record for item_id, item in items.items()}, parameters)
    left_out = [items[item_id] for item_id in reasons]
    return Items((item for item in items.values() if item.id not in reasons), reasons, left_out)


SCREEN = ScreenParameters(min_side_px=32)


def test_both_sides_of_a_limit_are_shown_nearest_first(make_sources: Callable[..., QualitySources]) -> None:
    sources = make_sources(20, SCREEN, SelectionParameters())
    scores = sorted(item.record["edges"]["score"] for item in sources.selected_skins.values())
    bound = scores[len(scores) // 2]
    selection = SelectionParameters(edge_score={"at_least": bound, "action": "reject"})
    sources = make_sources(20, SCREEN, selection)
    page = render_report(sources, SCREEN, selection)
    part = section(page, "edge_score")
    below = [score for score in scores if score < bound]
    shown = values(part)
    assert shown[: min(EXAMPLES, len(below))] == pytest.approx(below[::-1][:EXAMPLES], abs=1e-3)
    assert shown[EXAMPLES:] == pytest.approx(scores[len(below) :][:EXAMPLES], abs=1e-3)
    assert f"{len(below)} of {len(scores)} skins are beyond and left out" in part
    assert len(re.findall('aria-label="Edges of', part)) == 2 * EXAMPLES
    for item_id in sources.selected_skins.rejected:
        assert item_id in section(page, "left-out")


def test_skins_that_screening_left_out_are_shown_with_their_reason(
    make_sources: Callable[..., QualitySources],
) -> None:
    strict = ScreenParameters(min_side_px=32, contrast={"at_least": 60, "action": "reject"})
    page = render_report(make_sources(12, strict, SelectionParameters()), strict, SelectionParameters())
    part = section(page, "contrast")
    assert "beyond and left out" in part
    assert "Beyond the limit, nearest first" in part
    assert "Within the limit" in part
    assert "blank: contrast" in section(page, "left-out")
    assert "no picture" not in page


def test_pairs_of_look_alikes_are_shown_on_both_sides(make_sources: Callable[..., QualitySources]) -> None:
    hashes = {number: f"{7 << 8 * (number % 3):016x}" for number in range(6)}
    texts = {number: [[str(number if number % 3 == 1 else 9), 0.5, 0.5, 0.1, 0.1]] for number in range(6)}
    shades = {number: 100 if number % 3 < 2 else 100 + number for number in range(6)}
    colours = {number: colour_grid(np.full((12, 12, 3), shade, np.uint8)) for number, shade in shades.items()}
    selection = SelectionParameters(repeats={"action": "reject", "max_colour_distance": 0.5})
    sources = make_sources(6, SCREEN, selection, phash=hashes, legends=texts, colours=colours)
    assert list(sources.selected_skins.rejected) == ["mine/skin_003"]
    part = section(render_report(sources, SCREEN, selection), "repeats")
    titles = re.findall("<h3>(.*?)</h3>", part)
    assert titles == [
        "Repeats, nearest to the limit first (1)",
        "Kept: the colours are the same, the legends are not (1)",
        "Kept: other colours, nearest to the limit first (1)",
    ]
    assert part.count('class="pair"') == 3
    assert "mine/skin_000" in part.split("<h3>")[1]


def test_text_is_escaped_and_nothing_is_fetched(make_sources: Callable[..., QualitySources]) -> None:
    selection = SelectionParameters(caption_words={"at_least": 5})
    sources = make_sources(3, SCREEN, selection, caption_words={1: HOSTILE})
    page = render_report(sources, SCREEN, selection)
    parsed = Page(page)
    assert not {"script", "img", "link", "iframe"} & set(parsed.tags)
    assert any(HOSTILE in text for text in parsed.texts)
    assert not re.search(r"https?://", page)
    assert "default-src 'none'" in page


def test_an_empty_project_has_a_page_too() -> None:
    empty = QualitySources(**{field.name: Items() for field in fields(QualitySources)})
    page = render_report(empty, ScreenParameters(), SelectionParameters())
    assert "No skin was left out." in page
    assert page.count('class="chart"') == 0


def test_the_page_is_the_same_and_does_not_grow_with_the_number_of_skins(
    make_sources: Callable[..., QualitySources],
) -> None:
    strict = ScreenParameters(min_side_px=61)
    few, many = (
        render_report(make_sources(count, strict, SelectionParameters()), strict, SelectionParameters())
        for count in (LISTED, 2 * LISTED)
    )
    assert abs(len(many) - len(few)) < 0.2 * len(few)
    assert f"{LISTED} of {2 * LISTED}; rejected.jsonl lists all" in many
    again = render_report(make_sources(LISTED, strict, SelectionParameters()), strict, SelectionParameters())
    assert again == few


def test_a_check_that_is_off_is_not_shown(make_sources: Callable[..., QualitySources]) -> None:
    off = SelectionParameters(legends={"at_least": 1, "action": "off"}, repeats={"action": "off"})
    page = render_report(make_sources(2, SCREEN, off), SCREEN, off)
    assert 'id="legends"' not in page
    assert 'id="repeats"' not in page
    assert "not looked at" in page
