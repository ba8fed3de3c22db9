"""A Kedro dataset of the pictures that users bring."""

from __future__ import annotations

import hashlib
import os
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson
from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview, TablePreview

from skin_pipeline.datasets.atomic import storage_errors, write_atomically
from skin_pipeline.datasets.contact_sheet import (
    MAX_PICTURES,
    PICTURE_SUFFIX,
    PREVIEW_ROWS,
    draw_contact_sheet,
    image_preview,
    sample,
    table_preview,
)
from skin_pipeline.datasets.item_folder import ItemFolder
from skin_pipeline.datasets.item_list import file_stat
from skin_pipeline.datasets.items_dataset import StoredItem
from skin_pipeline.datasets.progress import progress_bar
from skin_pipeline.engines import make_engine, read_engine
from skin_pipeline.errors import IncompleteDatasetError, InputError
from skin_pipeline.items import Item, Items, Plan, canonical_json, json_digest

MAX_NAME_BYTES = 240
"""A file system takes 255; what is made of a skin may be named after it with one more suffix."""

SETTLED_SECONDS = 2.0
"""A digest is remembered only for a file that is older than this: a later write would have another time."""


class RawSkinsDataset(AbstractDataset[Plan, Items]):
    """Every file below a folder, whatever it is; what cannot be a skin is for the screening to say.

    Left out are names that begin with ``.`` or ``_``. An item's record is ``{"source": path inside the
    folder}``, with ``"problem"`` (a reason) beside it and no path when the file must not or cannot be read.
    Ids are the paths without suffix; of files that differ in their suffix only, the whole names.

    Saving a plan writes into a folder inside, named after the plan's stage (``demo``, ``sheets``), and leaves
    everything else alone.

    Example YAML::

        raw_skins:
          type: skin_pipeline.datasets.RawSkinsDataset
          filepath: data/01_raw
          digest_cache: data/02_intermediate/.raw_digests.jsonl

    Example Python::

        skins = RawSkinsDataset(filepath="data/01_raw").load()
    """

    def __init__(
        self,
        *,
        filepath: str,
        suffix: str = ".png",
        ignore: Sequence[str] = (),
        may_be_empty: bool = False,
        digest_cache: str | None = None,
        engine: Mapping[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe the dataset.

        Args:
            filepath: The folder.
            suffix: Suffix of the pictures that plans make.
            ignore: Folders inside it that are not this dataset's.
            may_be_empty: Whether a folder without files, or none at all, is no items rather than an error.
            digest_cache: File that remembers the digests of unchanged files, so that they are not all read
                again in every run. Outside the folder, which may be read-only.
            engine: Who makes pictures (:class:`skin_pipeline.engines.EngineParameters`); none: processes of
                this machine.
            metadata: Anything; kept for plugins.

        Raises:
            ConfigurationError: The engine's settings make no sense.
        """
        self._filepath = Path(filepath)
        self._suffix = suffix
        self._ignored = frozenset(ignore)
        self._may_be_empty = may_be_empty
        self._cache_path = None if digest_cache is None else Path(digest_cache)
        self._engine = make_engine(read_engine(engine))
        self._loaded: Callable[[], Items | None] = lambda: None
        """What was loaded last, while anybody works with it: the files are not listed twice for that."""
        self.metadata = metadata

    def load(self) -> Items:
        """List the files and their digests; no picture is decoded.

        Raises:
            InputError: The folder is missing or holds no file.
            IncompleteDatasetError: The pictures that a plan makes are not all there.
        """
        for folder in self._made():
            if folder.is_interrupted():
                raise IncompleteDatasetError(
                    f"Making the skins in {folder.path} was interrupted. Run the pipeline that makes them "
                    "(demo_data, import_packages) again; it goes on where it stopped. Or remove that folder."
                )
        files = dict(sorted(self._files(), key=itemgetter(0)))
        if not files and not self._may_be_empty:
            raise InputError(
                f"{self._filepath} holds no pictures. Put keyboard skins there (PNG, JPEG, WebP ...), or "
                "draw some with `kedro run --pipeline=demo_data`."
            )
        ids = _ids(files)
        with (
            _DigestCache(self._cache_path) as digests,
            progress_bar(self._filepath.name, len(files)) as advance,
        ):
            items = []
            for name, file in files.items():
                items.append(self._item(ids[name], name, file, digests))
                advance()
        skins = Items(items)
        self._loaded = weakref.ref(skins)
        return skins

    def save(self, data: Plan) -> None:
        """Make what the plan has and the subfolder lacks."""
        folder = ItemFolder(self._filepath / data.stage, suffix=self._suffix, adopt=False)
        folder.update(f"{self._filepath.name}/{data.stage}", data, self._engine)

    def preflight(self) -> None:
        """Raise if the engine lacks something on this machine; called before the first node of a run."""
        self._engine.preflight()

    def content_manifest(self) -> dict[str, str]:
        """Return the sha256 of each file (or of what is wrong with it) by its path inside the folder."""
        skins = self._loaded() or self.load()
        return {item.record["source"]: item.sha256 for item in skins.values()}

    def contact_sheet(self) -> bytes | None:
        """Return a PNG of up to 24 of the pictures."""
        paths = sorted(file.path for _, file in self._files() if self._problem(file) is None)
        return draw_contact_sheet([Path(path) for path in sample(paths, MAX_PICTURES)])

    @property
    def preview(self) -> Callable[[], ImagePreview] | Callable[[], TablePreview]:
        """What kedro-viz shows: a contact sheet of pictures, or a table of packages."""
        return self._preview_pictures if self._suffix == PICTURE_SUFFIX else self._preview_files

    def _preview_pictures(self) -> ImagePreview:
        return image_preview(self.contact_sheet())

    def _preview_files(self) -> TablePreview:
        files = sample(sorted(self._files(), key=itemgetter(0)), PREVIEW_ROWS)
        return table_preview([{"file": name, "bytes": entry.stat().st_size} for name, entry in files])

    def _made(self) -> Iterator[ItemFolder]:
        """Return the folders inside that plans were saved to, or may have been."""
        if self._filepath.is_dir():
            for path in self._filepath.iterdir():
                if path.is_dir() and path.name not in self._ignored:
                    yield ItemFolder(path, suffix=self._suffix, adopt=False)

    def _files(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Walk over the files by their paths inside; folders that are links are files that cannot be read."""
        folders = [""]
        while folders:
            inside = folders.pop()
            try:
                entries = list(os.scandir(self._filepath / inside))
            except OSError:  # missing, or not for this user
                continue
            for entry in filter(_is_visible, entries):
                name = inside + entry.name
                if not entry.is_dir(follow_symlinks=False):
                    yield name, entry
                elif name not in self._ignored:
                    folders.append(f"{name}/")

    def _item(self, item_id: str, name: str, file: os.DirEntry[str], digests: _DigestCache) -> Item:
        """Describe one file."""
        name = _readable(name)
        problem = self._problem(file)
        if problem is None:
            try:
                sha256 = digests.sha256(file, name)
                return StoredItem(item_id, {"source": name}, sha256, str(file.path))
            except OSError as exc:
                problem = f"cannot be read: {exc.strerror}"
        record = {"source": name, "problem": problem}
        return Item(item_id, record, json_digest(record))

    def _problem(self, file: os.DirEntry[str]) -> str | None:
        """Return why a file must not be read, if so."""
        problem = _problem_of_name(file.name)
        if problem is not None:
            return problem
        if not file.is_symlink():
            return None if file.is_file() else "not a regular file"
        target = Path(file.path).resolve()
        if not target.is_relative_to(self._filepath.resolve()):
            return "a link that leads out of the folder of raw skins; copy the picture there instead"
        if not target.exists():
            return "a link to a file that does not exist"
        if target.is_dir():
            return "a link to a folder"
        return None if target.is_file() else "not a regular file"

    def _exists(self) -> bool:
        return self._may_be_empty or next(self._files(), None) is not None

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "ignore": sorted(self._ignored)}


def _is_visible(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith((".", "_"))


def _problem_of_name(name: str) -> str | None:
    """Return why a file cannot be named in a list, or nothing be named after it, if so."""
    if _readable(name) != name:
        return "a name that is not UTF-8; rename the file"
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        return f"a name of more than {MAX_NAME_BYTES} bytes leaves no room for another suffix; shorten it"
    return None


def _readable(name: str) -> str:
    """Return a file name as text, with escapes for bytes that are not UTF-8."""
    return name if name.isascii() else os.fsencode(name).decode(errors="backslashreplace")


def _ids(names: Iterable[str]) -> dict[str, str]:
    """Return each name's id: without its suffix where that is unique, else whole.

    A whole name can itself be the stem of another file (``a.png`` beside ``a.jpg`` and ``a.png.webp``); whole
    names are taken for all of these.
    """
    stems = {name: _stem(_readable(name)) for name in names}
    while True:
        uses = Counter(stems.values())
        shared = [name for name, stem in stems.items() if uses[stem] > 1 and stem != _readable(name)]
        if not shared:
            return stems
        stems.update({name: _readable(name) for name in shared})


def _stem(name: str) -> str:
    """Return a path without its suffix; a dot that begins or ends the file's name begins no suffix."""
    folder, slash, last = name.rpartition("/")
    dot = last.rfind(".")
    return f"{folder}{slash}{last[:dot]}" if 0 < dot < len(last) - 1 else name


class _DigestCache:
    """The sha256 of files by their names, sizes, times and inodes, kept from run to run."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, list[Any]] = {}
        self._seen: dict[str, list[Any]] = {}

    def __enter__(self) -> _DigestCache:
        """Read what the last run knew; a cache that cannot be read is an empty one."""
        if self._path is not None and self._path.is_file():
            try:
                lines = map(orjson.loads, self._path.read_bytes().splitlines())
                self._known = {line["name"]: [line["stat"], line["sha256"]] for line in lines}
            except (OSError, ValueError, KeyError, TypeError):
                self._known = {}
        return self

    def __exit__(self, *_: object) -> None:
        """Write what this run knows, if that is something else."""
        if self._path is None or self._seen == self._known:
            return
        lines = (
            canonical_json({"name": name, "stat": stat, "sha256": sha256}) + "\n"
            for name, (stat, sha256) in self._seen.items()
        )
        with storage_errors(self._path):
            write_atomically(self._path, "".join(lines).encode())

    def sha256(self, file: os.DirEntry[str], name: str) -> str:
        """Return a file's digest, read only if the file is not the one that is known."""
        status = file.stat()
        stat = file_stat(status)
        known_stat, sha256 = self._known.get(name, (None, ""))
        if known_stat != stat:
            begun = time.time()
            with Path(file.path).open("rb") as content:
                sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            if max(status.st_mtime, status.st_ctime) > begun - SETTLED_SECONDS:
                return sha256
        self._seen[name] = [stat, sha256]
        return sha256
