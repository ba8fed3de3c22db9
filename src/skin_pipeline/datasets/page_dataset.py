"""A Kedro dataset of one text: an HTML page, a report."""

from __future__ import annotations

from collections.abc import Callable
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from skin_pipeline.datasets.atomic import storage_errors, write_atomically
from skin_pipeline.datasets.contact_sheet import table_preview
from skin_pipeline.datasets.jsonlines_dataset import file_manifest, read_existing
from skin_pipeline.items import PagePlan, json_digest


class PageDataset(AbstractDataset[str | PagePlan, str]):
    """A text file (UTF-8), written whole or not at all.

    Saving a :class:`~skin_pipeline.items.PagePlan` renders the page only if it was made from something else.
    What it was made from is told by a hidden file beside it, which counts only for that very text.

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

    def save(self, data: str | PagePlan) -> None:
        """Replace the text, unless it was made from the same."""
        with storage_errors(self._filepath):
            if isinstance(data, str):
                write_atomically(self._filepath, data.encode())
            elif self._is_current(data.key):
                self._logger.info("%s: unchanged", self._filepath.name)
            else:
                write_atomically(self._filepath, data.render().encode())
                write_atomically(self._key_path, self._sign(data.key))

    @property
    def _key_path(self) -> Path:
        """The hidden file that tells what the page was made from."""
        return self._filepath.with_name(f".{self._filepath.name}.key")

    def _sign(self, key: str) -> bytes:
        """Join a key with the digest of the text that is there."""
        return json_digest([key, file_manifest(self._filepath)]).encode()

    def _is_current(self, key: str) -> bool:
        """Tell whether the text that is there was made from what a key stands for."""
        try:
            return self._key_path.read_bytes() == self._sign(key)
        except FileNotFoundError:
            return False

    def content_manifest(self) -> dict[str, str]:
        """Return the sha256 of the file by its name."""
        return file_manifest(self._filepath)

    @property
    def preview(self) -> Callable[[], TablePreview]:
        """What kedro-viz shows: the first table of a page in Markdown. Of pages in HTML it shows nothing.

        Raises:
            AttributeError: The page is not in Markdown.
        """
        if self._filepath.suffix != ".md":
            raise AttributeError(f"{self._filepath.name} has no preview: it is not Markdown.")
        return self._preview_table

    def _preview_table(self) -> TablePreview:
        names, *rows = _first_table(self.load()) or [[]]
        return table_preview([dict(zip(names, row, strict=True)) for row in rows])

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _first_table(markdown: str) -> list[list[str]]:
    """Return the cells of a page's first table, its heading first, without the rule below that."""
    below = dropwhile(lambda line: not line.startswith("|"), markdown.splitlines())
    table = list(takewhile(lambda line: line.startswith("|"), below))
    return [row.removeprefix("| ").removesuffix(" |").split(" | ") for row in table[:1] + table[2:]]
