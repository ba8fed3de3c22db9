"""Datasets of one file: records and pages."""

from __future__ import annotations

import hashlib

import pytest
from kedro.io import DatasetError

from skin_pipeline.datasets import JSONLinesDataset, PageDataset
from skin_pipeline.errors import IncompleteDatasetError, InputError
from skin_pipeline.items import PagePlan

RECORDS = [{"id": "kb_1", "reason": "空白", "size_px": [3, 4]}, {"id": "kb_2", "share": 0.5}]


@pytest.fixture
def records(tmp_path):
    return JSONLinesDataset(filepath=str(tmp_path / "08_reporting" / "rejected.jsonl"))


@pytest.fixture
def page(tmp_path):
    return PageDataset(filepath=str(tmp_path / "08_reporting" / "gallery.html"))


def test_records_are_loaded_as_saved(records):
    assert not records.exists()
    records.save(RECORDS)
    assert records.exists()
    assert records.load() == RECORDS
    text = records._filepath.read_text(encoding="utf-8")
    assert "空白" in text
    assert records.content_manifest() == {"rejected.jsonl": hashlib.sha256(text.encode()).hexdigest()}
    assert "rejected.jsonl" in str(records)


def test_no_records_are_a_file_too(records):
    records.save([])
    assert records.exists()
    assert records.load() == []
    assert records.preview() == {"index": [], "columns": [], "data": []}


def test_table_has_a_column_for_every_field(records):
    records.save(RECORDS)
    assert records.preview() == {
        "index": [0, 1],
        "columns": ["id", "reason", "size_px", "share"],
        "data": [["kb_1", "空白", "[3, 4]", ""], ["kb_2", "", "", 0.5]],
    }
    assert len(records.preview(nrows=1)["data"]) == 1


def test_failed_save_leaves_the_old_file(records):
    records.save(RECORDS)
    with pytest.raises(DatasetError, match="JSON"):
        records.save([{"id": "kb_3"}, {"share": float("nan")}])
    assert records.load() == RECORDS
    assert [path.name for path in records._filepath.parent.iterdir()] == ["rejected.jsonl"]


def test_line_that_is_not_json_is_named(records):
    records.save(RECORDS)
    with records._filepath.open("a") as file:
        file.write("oops\n")
    with pytest.raises(DatasetError, match=r"line 3: expected a JSON object, got 'oops'") as caught:
        records.load()
    assert isinstance(caught.value.__cause__, InputError)


def test_page_is_loaded_as_saved(page):
    assert not page.exists()
    page.save("<!doctype html>前往")
    assert page.exists()
    assert page.load() == "<!doctype html>前往"
    assert set(page.content_manifest()) == {"gallery.html"}
    assert "gallery.html" in str(page)


@pytest.mark.parametrize("name", ["records", "page"])
def test_missing_file_says_so(request, name):
    with pytest.raises(DatasetError, match="was not written yet") as caught:
        request.getfixturevalue(name).load()
    assert isinstance(caught.value.__cause__, IncompleteDatasetError)


def test_a_page_is_rendered_when_it_is_made_from_something_else(page):
    rendered = []

    def render():
        rendered.append(len(rendered))
        return f"<p>{len(rendered)}</p>"

    for key in ("first", "first", "second"):
        page.save(PagePlan(render, key))
    assert len(rendered) == 2
    assert page.load() == "<p>2</p>"
    page._filepath.write_text("half", encoding="utf-8")
    page.save(PagePlan(render, "second"))
    assert page.load() == "<p>3</p>"
    page._filepath.unlink()
    page.save(PagePlan(render, "second"))
    assert page.load() == "<p>4</p>"


def test_kedro_viz_shows_the_first_table_of_markdown_and_nothing_of_html(page, tmp_path):
    assert not hasattr(page, "preview")
    table = PageDataset(filepath=str(tmp_path / "evaluation.md"))
    table.save(
        "# Scores\n\n| metric | real |\n|---|---|\n| F1 | 1.000 [1, 1] |\n| KID |  |\n\n| other |\n|---|\n"
    )
    shown = table.preview()
    assert shown["columns"] == ["metric", "real"]
    assert shown["data"] == [["F1", "1.000 [1, 1]"], ["KID", ""]]
    table.save("no table")
    assert table.preview()["data"] == []


def test_long_values_are_cut_in_a_preview(records):
    records.save([{"quads": [[281.75, 12.75]] * 100, "note": "short"}])
    ((quads, note),) = records.preview()["data"]
    assert (len(quads), quads[-1], note) == (161, "…", "short")
