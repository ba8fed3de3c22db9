"""A Kedro dataset of one text: an HTML page, a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from skin_pipeline.datasets.atomic import storage_errors, write_atomically
from skin_pipeline.datasets.jsonlines_dataset import file_manifest, read_existing


class PageDataset(AbstractDataset[str, str]):
    """A text file (UTF-8), written whole or not at all.

    Example YAML::

        gallery:
          type: skin_pipeline.datasets.PageDataset
          filepath: data/08_reporting/gallery.html

    Example Python::

        PageDataset(filepath="data/08_reporting/gallery.html").save("<!doctype html>...")
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Describe the dataset.

        Args:
            filepath: The file.
            metadata: Anything; kept for plugins.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> str:
        """Read the text."""
        return read_existing(self._filepath)

    def save(self, data: str) -> None:
        """Replace the text."""
        with storage_errors(self._filepath):
            write_atomically(self._filepath, data.encode())

    def content_manifest(self) -> dict[str, str]:
        """Return the sha256 of the file by its name."""
        return file_manifest(self._filepath)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
