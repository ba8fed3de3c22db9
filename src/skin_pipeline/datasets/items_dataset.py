"""A Kedro dataset of items: saved by bringing its folder up to date with a plan, loaded as ``Items``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview, TablePreview

from skin_pipeline.datasets.contact_sheet import (
    MAX_PICTURES,
    PICTURE_SUFFIX,
    PREVIEW_ROWS,
    draw_contact_sheet,
    image_preview,
    table_preview,
)
from skin_pipeline.datasets.item_folder import MANIFEST, ItemFolder, Summary
from skin_pipeline.datasets.item_list import Entry, ItemList
from skin_pipeline.engines import make_engine, read_engine
from skin_pipeline.items import Item, Items, Plan, StoredRecord, json_digest


class StoredItem(Item):
    """An item that makes its path when it is asked for, and holds little: there may be very many."""

    def __init__(
        self, id: str, record: Mapping[str, Any], sha256: str, place: str | Callable[[Item], Path | None]
    ) -> None:
        """Keep what an item has.

        Args:
            id: See :class:`~skin_pipeline.items.Item`.
            record: The same.
            sha256: The same.
            place: The file, or what finds the file of an item (one such function serves all of a dataset's).
        """
        for name, value in (("id", id), ("record", record), ("sha256", sha256), ("_place", place)):
            object.__setattr__(self, name, value)

    @property
    def path(self) -> Path | None:
        """The file, if the item has one."""
        place: str | Callable[[Item], Path | None] = self._place  # type: ignore[attr-defined]
        return Path(place) if isinstance(place, str) else place(self)

    @property
    def record_digest(self) -> str:
        """The sha256 of the record's canonical JSON."""
        return self.record.sha256 if isinstance(self.record, StoredRecord) else json_digest(self.record)

    def __reduce__(self) -> tuple[type[Item], tuple[object, ...]]:
        """Become a plain item where this is pickled to."""
        return Item, (self.id, self.record, self.sha256, self.path)


class StoredItems(Items):
    """Items that are read when one of them is asked for; in most runs only their digest is."""

    def __init__(self, read: Callable[[], Items], summary: Summary | None) -> None:
        """Keep what is known without reading.

        Args:
            read: Reads the items.
            summary: What is known of them, if anything is.
        """
        self._read = read
        if summary is not None:
            self.digest, self.full_digest = summary.digest, summary.full_digest
            self._rejected = summary.rejected

    def __getattr__(self, name: str) -> Any:
        """Read the items when the first of their attributes is missing."""
        if name not in {"_items", "_rejected", "_left_out"}:
            raise AttributeError(f"{type(self).__name__} has no attribute '{name}'.", name=name, obj=self)
        vars(self).update(vars(self._read()))
        return vars(self)[name]

    def __reduce__(self) -> tuple[type[Items], tuple[object, ...]]:
        """Become plain items where these are pickled to."""
        return Items, (list(self.values()), dict(self.rejected), list(self.left_out.values()))


class ItemsDataset(AbstractDataset[Plan, Items]):
    """Items in a folder: one file each, or records only.

    Saving a :class:`~skin_pipeline.items.Plan` makes exactly those items that are missing or were made from
    something else (:func:`~skin_pipeline.items.item_key`), one by one, each written beside its place and
    renamed. A killed save goes on where it stopped when the same node is run again; until then loading
    raises :class:`~skin_pipeline.errors.IncompleteDatasetError`. The format is described in
    :mod:`skin_pipeline.datasets.item_folder`.

    Versions: Kedro's ``versioned`` is not offered, as a new folder for every run would make every item again.
    What a run saved is known by the digests of :meth:`content_manifest`.

    Example YAML::

        edge_maps:
          type: skin_pipeline.datasets.ItemsDataset
          filepath: data/03_primary/edge_maps
          suffix: .png
          engine: {kind: local}
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
        engine: Mapping[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe the dataset.

        Args:
            filepath: The folder.
            suffix: Suffix of the items' files (``.png``); None if the items are records only.
            source_folder: For items that are records about files elsewhere: the folder that holds the file
                named by ``record["source"]``. That file is then the item's path and its digest the item's.
            engine: Who makes items (:class:`skin_pipeline.engines.EngineParameters`); none: processes of this
                machine.
            metadata: Anything; kept for plugins.

        Raises:
            ConfigurationError: The engine's settings make no sense.
        """
        self._filepath = Path(filepath)
        self._folder = ItemFolder(
            self._filepath,
            suffix=suffix,
            source_folder=None if source_folder is None else Path(source_folder),
        )
        self._engine = make_engine(read_engine(engine))
        self.metadata = metadata

    def load(self) -> Items:
        """Open the manifest; it is read when an item is asked for, and files when its picture is."""
        manifest = self._folder.open()
        return StoredItems(partial(self._read, manifest), self._folder.summary(manifest))

    def _read(self, manifest: ItemList) -> Items:
        """Read an open manifest."""
        entries = [entry for entry in manifest.entries(check_records=False).values() if entry is not None]
        rejected = {entry.id: entry.rejected for entry in entries if entry.rejected is not None}
        left_out = (
            self._item(entry) for entry in entries if entry.rejected is not None and entry.record is not None
        )
        return Items((self._item(entry) for entry in entries if entry.rejected is None), rejected, left_out)

    def save(self, data: Plan) -> None:
        """Make what the plan has and the folder lacks."""
        self._folder.update(self._filepath.name, data, self._engine)

    def preflight(self) -> None:
        """Raise if the engine lacks something on this machine; called before the first node of a run."""
        self._engine.preflight()

    def content_manifest(self) -> dict[str, str]:
        """Return the sha256 of each file (or record) by name, and of all records by the manifest's name."""
        suffix = self._folder.suffix or ""
        said, contents = [], {}
        for head in self._folder.open().heads():
            said.append([head["id"], head.get("record_sha256"), head.get("rejected")])
            if "rejected" not in head:
                contents[f"{head['id']}{suffix}"] = head["sha256"]
        return {**contents, MANIFEST: json_digest(said)}

    def contact_sheet(self) -> bytes | None:
        """Return a PNG of up to 24 of the pictures; None for records without pictures."""
        if not self._has_pictures:
            return None
        paths = (self._item(entry).path for entry in self._folder.open().sample(MAX_PICTURES))
        return draw_contact_sheet([path for path in paths if path is not None])

    @property
    def preview(self) -> Callable[[], ImagePreview] | Callable[[], TablePreview]:
        """What kedro-viz shows: a contact sheet of pictures, or a table of records."""
        return self._preview_pictures if self._has_pictures else self._preview_records

    @property
    def _has_pictures(self) -> bool:
        return self._folder.suffix == PICTURE_SUFFIX or self._folder.source_folder is not None

    def _preview_pictures(self) -> ImagePreview:
        return image_preview(self.contact_sheet())

    def _preview_records(self) -> TablePreview:
        entries = self._folder.open().sample(PREVIEW_ROWS)
        return table_preview([{"id": entry.id, **(entry.record or {})} for entry in entries])

    def _item(self, entry: Entry) -> Item:
        """Make an item of an entry that was made."""
        record: Mapping[str, Any] = {} if entry.record is None else entry.record
        find = self._own_path if entry.size_bytes is not None else self._source_path
        return StoredItem(entry.id, record, entry.sha256 or "", find)

    def _own_path(self, item: Item) -> Path | None:
        """Return where the file of an item lies that has one in this folder."""
        return self._folder.file_path(item.id)

    def _source_path(self, item: Item) -> Path | None:
        """Return where the file lies that an item without one of its own is about."""
        folder = self._folder.source_folder
        return None if folder is None or not item.record else folder / str(item.record["source"])

    def _exists(self) -> bool:
        return self._folder.is_complete()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "suffix": self._folder.suffix}
