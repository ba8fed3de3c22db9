"""Lines of a list, and records that stay in it."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import pytest

from skin_pipeline.datasets.item_folder import _end_of_lines
from skin_pipeline.datasets.item_list import Entry, ItemList
from skin_pipeline.items import Item, StoredRecord, json_digest

RECORD = {"low": 50.0, "name": '空 ,"record":{"', "nested": {"record": [1, 2]}}
ENTRY = Entry('demo/a ,"record":', "key", RECORD, json_digest(RECORD), "f" * 64, 4711)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "list.jsonl"
    path.write_bytes(Entry("before", "k", rejected="no").to_line() + ENTRY.to_line())
    return path


def read(path: Path, *, check_records: bool = False) -> dict[str, Entry | None]:
    return ItemList(path).entries(check_records=check_records)


def test_a_line_comes_back_as_it_was(path: Path) -> None:
    entry = read(path)[ENTRY.id]
    assert entry == ENTRY
    assert isinstance(entry.record, StoredRecord)
    assert entry.to_line() == ENTRY.to_line()
    assert json.loads(entry.to_line())["record"] == RECORD


def test_a_record_outlives_its_file(path: Path) -> None:
    entry = read(path)[ENTRY.id]
    path.unlink()
    path.write_text("something else")
    assert entry.record["nested"] == {"record": [1, 2]}
    assert {**entry.record} == dict(entry.record.items()) == RECORD
    assert len(entry.record) == len(RECORD)
    assert repr(entry.record) == repr(RECORD)


def test_a_record_becomes_a_dict_in_another_process(path: Path) -> None:
    item = Item("a", read(path)[ENTRY.id].record, "sha")
    there = pickle.loads(pickle.dumps(item))  # noqa: S301
    assert type(there.record) is dict
    assert there == item
    assert there.record_digest == item.record_digest == json_digest(RECORD)


def test_a_record_that_a_power_cut_damaged_is_found_in_a_journal(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"50.0", b"50.1"))
    assert set(read(path, check_records=True)) == {"before"}
    assert set(read(path)) == {"before", ENTRY.id}


NOT_OURS = (
    b"{}\n",
    b"[]\n",
    b"\0\0\0\n",
    b'{"id":"x","new":1}\n',
    b'{"id":"x"',
    b'{"id":"x","key":"k","record":{}}\n',
)


@pytest.mark.parametrize("line", NOT_OURS)
def test_lines_that_are_not_ours_are_left_aside(path: Path, line: bytes) -> None:
    path.write_bytes(path.read_bytes() + line)
    assert set(read(path)) == {"before", ENTRY.id}


def test_an_announcement_takes_the_record_back(path: Path) -> None:
    path.write_bytes(path.read_bytes() + json.dumps({"id": ENTRY.id}).encode() + b"\n")
    assert read(path)[ENTRY.id] is None


@pytest.mark.parametrize("content", [b"", b"abc", b"ab\ncd", b"ab\ncd\n", b"\n", b"ab\n" + b"x" * 9])
def test_a_torn_end_is_found_from_behind(content: bytes) -> None:
    assert _end_of_lines(io.BytesIO(content), block_bytes=2) == content.rfind(b"\n") + 1
