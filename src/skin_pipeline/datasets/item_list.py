"""The list of a folder of items: a line an item, read without holding the records.

A line is a JSON object in canonical form but for one thing: its ``record`` comes last, so that the rest can
be read without it::

    {"id":"demo/skin_1","key":"…","record_sha256":"…","sha256":"…","size_bytes":4711,"record":{"low":50,…}}

A line of nothing but an ``id`` announces that the item's file is about to be written.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from skin_pipeline.datasets.contact_sheet import sample
from skin_pipeline.items import StoredRecord, canonical_json

RECORD = b',"record":'
"""What separates a line's record from the rest: a quotation mark inside a JSON string has a backslash before
it, so the first place where this occurs is the right one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a folder knows about an item: a line of its manifest.

    Attributes:
        id: The item's id.
        key: Digest of all that the item was made from (:func:`skin_pipeline.items.item_key`).
        record: The stage's record; None when the worker rejected the item.
        record_sha256: Digest of the record's canonical JSON.
        sha256: Digest of the item's file, or of its record.
        size_bytes: Size of the item's file in this folder, if it has one.
        rejected: Why the item was left out, if it was.
    """

    id: str
    key: str
    record: Mapping[str, Any] | None = None
    record_sha256: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    rejected: str | None = None

    def to_line(self) -> bytes:
        """Return the line that stands for the entry; a stored record is copied as it is."""
        fields = {name: getattr(self, name) for name in _HEAD if getattr(self, name) is not None}
        head = canonical_json(fields).encode()
        if self.record is None:
            return head + b"\n"
        stored = isinstance(self.record, StoredRecord)
        record = self.record.read() if stored else canonical_json(self.record).encode()  # type: ignore[attr-defined]
        return head[:-1] + RECORD + record + b"}\n"


_HEAD = frozenset(("id", "key", "record_sha256", "rejected", "sha256", "size_bytes"))


class ItemList:
    """A list, opened once: its records can be read even after the file was replaced or removed."""

    def __init__(self, path: Path) -> None:
        """Open the list.

        Args:
            path: An existing file.
        """
        self._last: tuple[int, dict[str, Any]] = (-1, {})
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def stat(self) -> list[int]:
        """Return what changes when the file does: its size, its times and its inode."""
        return file_stat(os.fstat(self._descriptor))

    def read(self, start: int, length: int) -> bytes:
        """Return a record's JSON."""
        return os.pread(self._descriptor, length, start)

    def load(self, start: int, length: int) -> dict[str, Any]:
        """Return a record; whoever asks for one of its fields mostly asks for the next one, too."""
        at, record = self._last
        if at != start:
            record = orjson.loads(self.read(start, length))
            self._last = (start, record)
        return record

    def sample(self, count: int) -> list[Entry]:
        """Return so many of the entries of a complete list that were not rejected, evenly picked."""
        starts, start = [], 0
        with open(self._descriptor, "rb", closefd=False) as lines:
            lines.seek(0)
            for line in lines:
                fields = _parse(line)
                if fields is not None and "rejected" not in fields:
                    starts.append((start, len(line)))
                start += len(line)
        return [self.entry_at(self.read(*place), place[0]) for place in sample(starts, count)]

    def entries(self, *, check_records: bool) -> dict[str, Entry | None]:
        """Read all lines; the last one of an id counts.

        Args:
            check_records: Whether to compare each record with its digest. A list that was renamed into its
                place when it was complete does not need it; one that was being appended to does.

        Returns:
            The entry of each id; None for an id whose file was announced but not recorded.
        """
        entries: dict[str, Entry | None] = {}
        start = 0
        with open(self._descriptor, "rb", closefd=False) as lines:
            lines.seek(0)
            for line in lines:
                fields = _parse(line)
                if fields is not None:
                    entry = self._entry(fields, line, start)
                    if not check_records or entry is None or _is_whole(entry):
                        entries[fields["id"]] = entry
                start += len(line)
        return entries

    def heads(self) -> Iterator[dict[str, Any]]:
        """Read the lines of a complete list one by one; yield their fields but for the record."""
        with open(self._descriptor, "rb", closefd=False) as lines:
            lines.seek(0)
            for line in lines:
                fields = _parse(line)
                if fields is not None:
                    yield fields

    def entry_at(self, line: bytes, start: int) -> Entry:
        """Return the entry of a line that was just written.

        Args:
            line: The line.
            start: Where it begins, in bytes.
        """
        fields = _parse(line)
        assert fields is not None, "a line as to_line gives it"
        entry = self._entry(fields, line, start)
        assert entry is not None, "a record, not an announcement"
        return entry

    def _entry(self, fields: dict[str, Any], line: bytes, start: int) -> Entry | None:
        """Return a line's entry, with its record left where it is."""
        if "key" not in fields:
            return None
        if "record_sha256" in fields:
            offset = line.index(RECORD) + len(RECORD)
            length = len(line) - offset - 2  # "}" and the line's end
            fields["record"] = StoredRecord(self, start + offset, length, fields["record_sha256"])
            if fields.get("sha256") == fields["record_sha256"]:  # an item without a file; held once
                fields["sha256"] = fields["record_sha256"]
        return Entry(**fields)


def file_stat(status: os.stat_result) -> list[int]:
    """Return what of a file's status changes when the file does, as JSON."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a line's fields, without the record; None if a kill tore it or another version wrote it."""
    end = line.find(RECORD)
    try:
        fields = orjson.loads(line if end < 0 else line[:end] + b"}")
    except ValueError:
        return None
    is_line = line.endswith(b"}\n") and isinstance(fields, dict) and "id" in fields
    is_ours = is_line and fields.keys() <= _HEAD
    return fields if is_ours and (end >= 0) == ("record_sha256" in fields) else None


def _is_whole(entry: Entry) -> bool:
    """Tell whether an entry's record is the one that was written."""
    record = entry.record
    return not isinstance(record, StoredRecord) or hashlib.sha256(record.read()).hexdigest() == record.sha256
