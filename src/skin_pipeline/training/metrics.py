"""The run's metrics file: written by the trainer line by line, followed by whoever reports. Loads no torch.

Each line is a JSON object with a ``kind``: ``start`` (the first line, rewritten at each start of the run),
``train``, ``validation``, ``picture``, ``checkpoint`` and ``end`` (with ``status``: done, stopped or failed).
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

Row = dict[str, Any]
FILE_NAME = "metrics.jsonl"
TIMINGS = frozenset({"images_per_second", "data_wait_share", "peak_memory_gib"})
"""Columns that differ between two runs on the same input."""


class MetricsFile:
    """Appends lines, each complete and on its way to disk before the next."""

    def __init__(self, folder: Path, start: Row) -> None:
        """Begin a start of the run: a new first line, and what earlier starts measured up to its first step.

        The file is replaced as a whole, so a reader sees the old one or the new one.

        Args:
            folder: The run's folder.
            start: The first line's values; ``step`` is the step it starts from.
        """
        path = folder / FILE_NAME
        kept = [row for row in read_metrics(folder) if row["kind"] not in {"start", "end"}]
        kept = [row for row in kept if row["step"] <= start["step"]]
        beside = path.with_suffix(".tmp")
        lines = [{"kind": "start", **start}, *kept]
        beside.write_text("".join(map(_line, lines)), encoding="utf-8")
        beside.replace(path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, **values: object) -> None:
        """Append a line."""
        self._file.write(_line({"kind": kind, **values}))
        self._file.flush()

    def close(self) -> None:
        """Bring the file to disk and close it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def read_metrics(folder: Path) -> list[Row]:
    """Return a run's lines; a last one cut short by a kill is left out; none if there is no file."""
    path = folder / FILE_NAME
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def deterministic_rows(rows: list[Row]) -> list[Row]:
    """Return the training and validation lines without what differs between two runs on the same input."""
    return [
        {name: value for name, value in row.items() if name not in TIMINGS}
        for row in rows
        if row["kind"] in {"train", "validation"}
    ]


class MetricsTail:
    """Reads new lines of one start of a run, whenever asked."""

    def __init__(self, folder: Path, attempt: str) -> None:
        """Follow a run's metrics.

        Args:
            folder: The run's folder.
            attempt: Only the file whose first line names this start is read; an older one is waited out.
        """
        self._path = folder / FILE_NAME
        self._attempt = attempt
        self._position = 0
        self._found = False

    def new_rows(self) -> Iterator[Row]:
        """Yield the complete lines that were added since the last call."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            if not self._found and json.loads(file.readline() or b"{}").get("attempt") != self._attempt:
                return
            self._found = True
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._position += len(line)
                yield json.loads(line)


class Pace:
    """Measures how fast training goes and how long it waits for data."""

    def __init__(self) -> None:
        """Start the clock."""
        self.restart()

    def waited(self, seconds: float) -> None:
        """Count time spent waiting for a batch."""
        self._waited += seconds

    def seen(self, images: int) -> None:
        """Count pictures trained on."""
        self._images += images

    def lap(self) -> Row:
        """Return the pace since the last lap (or the start) and begin another."""
        elapsed = max(1e-9, time.perf_counter() - self._began)
        values = {
            "images_per_second": round(self._images / elapsed, 3),
            "data_wait_share": round(self._waited / elapsed, 4),
        }
        self.restart()
        return values

    def restart(self) -> None:
        """Begin a lap; what came before, such as a validation, does not count."""
        self._began, self._waited, self._images = time.perf_counter(), 0.0, 0
