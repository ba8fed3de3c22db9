"""A Kedro dataset of items: saved by bringing its folder up to date with a plan, loaded as ``Items``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview, TablePreview

from skin_pipeline.datasets.contact_sheet import draw_contact_sheet, image_preview, sample, table_preview
from skin_pipeline.datasets.item_folder import MANIFEST, Entry, ItemFolder
from skin_pipeline.items import Item, Items, Plan, json_digest

PREVIEW_ROWS = 8


class ItemsDataset(AbstractDataset[Plan, Items]):
    """Items in a folder: one file each, or records only.

    Saving a :class:`~skin_pipeline.items.Plan` makes exactly those items that are missing or were made from
    something else (:func:`~skin_pipeline.items.item_key`), one by one, each written beside its place and
    renamed. A killed save goes on where it stopped when the same node is run again; until then loading
    raises :class:`~skin_pipeline.errors.IncompleteDatasetError`. The format is described in
    :mod:`skin_pipeline.datasets.item_folder`.

    Example YAML::

        edge_maps:
          type: skin_pipeline.datasets.ItemsDataset
          filepath: data/03_primary/edge_maps
          suffix: .png
          metadata: {kedro-viz: {layer: primary}}

    Example Python::

        dataset = ItemsDataset(filepath="data/03_primary/captions")
        dataset.save(Plan("captions", make_worker, sources={"skin": skins}))
        dataset.load()["demo/skin_0001"].record["caption"]
    """

    def __init__(
        self,
        *,
        filepath: str,
        suffix: str | None = None,
        source_folder: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe the dataset.

        Args:
            filepath: The folder.
            suffix: Suffix of the items' files (``.png``); None if the items are records only.
            source_folder: For items that are records about files elsewhere: the folder that holds the file
                named by ``record["source"]``. That file is then the item's path and its digest the item's.
            metadata: Anything; kept for plugins.
        """
        self._filepath = Path(filepath)
        self._folder = ItemFolder(
            self._filepath,
            suffix=suffix,
            source_folder=None if source_folder is None else Path(source_folder),
        )
        self.metadata = metadata

    def load(self) -> Items:
        """Read the manifest; files are read when an item's picture is asked for."""
        entries = self._folder.read()
        rejected = {entry.id: entry.rejected for entry in entries if entry.rejected is not None}
        return Items((self._item(entry) for entry in entries if entry.rejected is None), rejected)

    def save(self, data: Plan) -> None:
        """Make what the plan has and the folder lacks."""
        self._folder.update(self._filepath.name, data)

    def content_manifest(self) -> dict[str, str]:
        """Return the sha256 of each file (or record) by name, and of all records by the manifest's name."""
        entries = self._folder.read()
        names = {entry.id: f"{entry.id}{self._folder.suffix or ''}" for entry in entries}
        said = [[entry.id, entry.record, entry.rejected] for entry in entries]
        contents = {names[entry.id]: entry.sha256 for entry in entries if entry.sha256 and not entry.rejected}
        return {**contents, MANIFEST: json_digest(said)}

    def contact_sheet(self) -> bytes | None:
        """Return a PNG of up to 24 of the pictures; None for records without pictures."""
        return draw_contact_sheet([item.path for item in self.load().values() if item.path is not None])

    @property
    def preview(self) -> Callable[[], ImagePreview] | Callable[[], TablePreview]:
        """What kedro-viz shows: a contact sheet of pictures, or a table of records."""
        has_pictures = self._folder.suffix is not None or self._folder.source_folder is not None
        return self._preview_pictures if has_pictures else self._preview_records

    def _preview_pictures(self) -> ImagePreview:
        return image_preview(self.contact_sheet())

    def _preview_records(self) -> TablePreview:
        items = sample(list(self.load().values()), PREVIEW_ROWS)
        return table_preview([{"id": item.id, **item.record} for item in items])

    def _item(self, entry: Entry) -> Item:
        """Make an item of an entry that was not rejected."""
        record: Mapping[str, Any] = entry.record or {}
        path = None
        if entry.size_bytes is not None:
            path = self._folder.file_path(entry.id)
        elif self._folder.source_folder is not None:
            path = self._folder.source_folder / record["source"]
        return Item(entry.id, record, entry.sha256 or "", path)

    def _exists(self) -> bool:
        return self._folder.is_complete()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "suffix": self._folder.suffix}
