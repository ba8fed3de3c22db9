"""A Kedro dataset of records, one JSON object a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from skin_pipeline.datasets.atomic import storage_errors, write_atomically
from skin_pipeline.datasets.contact_sheet import table_preview
from skin_pipeline.errors import IncompleteDatasetError, InputError


class JSONLinesDataset(AbstractDataset[Sequence[Mapping[str, Any]], list[dict[str, Any]]]):
    """Records in one file, written whole or not at all.

    Example YAML::

        rejected_skins:
          type: skin_pipeline.datasets.JSONLinesDataset
          filepath: data/08_reporting/rejected.jsonl

    Example Python::

        dataset = JSONLinesDataset(filepath="data/08_reporting/rejected.jsonl")
        dataset.save([{"id": "kb_0412", "reason": "blank"}])
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Describe the dataset.

        Args:
            filepath: The file.
            metadata: Anything; kept for plugins.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> list[dict[str, Any]]:
        """Read all records.

        Raises:
            IncompleteDatasetError: The file does not exist.
            InputError: A line is not JSON.
        """
        records = []
        for number, line in enumerate(read_existing(self._filepath).splitlines(), start=1):
            try:
                records.append(json.loads(line))
            except ValueError as exc:
                raise InputError(
                    f"{self._filepath}, line {number}: expected a JSON object, got {line[:80]!r}."
                ) from exc
        return records

    def save(self, data: Sequence[Mapping[str, Any]]) -> None:
        """Replace the file; fields keep their order."""
        lines = (json.dumps(dict(record), ensure_ascii=False, allow_nan=False) + "\n" for record in data)
        with storage_errors(self._filepath):
            write_atomically(self._filepath, "".join(lines).encode())

    def content_manifest(self) -> dict[str, str]:
        """Return the sha256 of the file by its name."""
        return file_manifest(self._filepath)

    def preview(self, nrows: int = 8) -> TablePreview:
        """Return the first rows as a table for kedro-viz."""
        return table_preview(self.load()[:nrows])

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def read_existing(path: Path) -> str:
    """Read a text file that a pipeline made.

    Raises:
        IncompleteDatasetError: The file does not exist.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise IncompleteDatasetError(f"{path} was not written yet. Run the pipeline that makes it.") from exc


def file_manifest(path: Path) -> dict[str, str]:
    """Return the sha256 of a file by its name."""
    with path.open("rb") as file:
        return {path.name: hashlib.file_digest(file, "sha256").hexdigest()}
