"""A Kedro dataset of the pictures that users bring."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview

from skin_pipeline.datasets.atomic import storage_errors, write_atomically
from skin_pipeline.datasets.contact_sheet import draw_contact_sheet, image_preview
from skin_pipeline.datasets.item_folder import ItemFolder
from skin_pipeline.datasets.progress import progress_bar
from skin_pipeline.errors import IncompleteDatasetError, InputError
from skin_pipeline.items import Item, Items, Plan, canonical_json, json_digest

SETTLED_SECONDS = 2.0
"""A digest is remembered only for a file that is older than this: a later write would have another time."""


class RawSkinsDataset(AbstractDataset[Plan, Items]):
    """Every file below a folder, whatever it is; what cannot be a skin is for the screening to say.

    Left out are names that begin with ``.`` or ``_``. An item's record is ``{"source": path inside the
    folder}``, with ``"problem"`` (a reason) beside it and no path when the file must not or cannot be read.
    Ids are the paths without suffix; of files that differ in their suffix only, the whole names.

    Saving a plan writes into a folder inside (``demo``), and leaves everything else alone.

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
        subfolder: str = "demo",
        suffix: str = ".png",
        digest_cache: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe the dataset.

        Args:
            filepath: The folder.
            subfolder: Folder inside it where plans are saved.
            suffix: Suffix of the pictures that plans make.
            digest_cache: File that remembers the digests of unchanged files, so that they are not all read
                again in every run. Outside the folder, which may be read-only.
            metadata: Anything; kept for plugins.
        """
        self._filepath = Path(filepath)
        self._made = ItemFolder(self._filepath / subfolder, suffix=suffix, adopt=False)
        self._cache_path = None if digest_cache is None else Path(digest_cache)
        self.metadata = metadata

    def load(self) -> Items:
        """List the files and their digests; no picture is decoded.

        Raises:
            InputError: The folder is missing or holds no file.
            IncompleteDatasetError: The pictures that a plan makes are not all there.
        """
        if self._made.is_interrupted():
            raise IncompleteDatasetError(
                f"Drawing the skins in {self._made.path} was interrupted. Run `kedro run "
                "--pipeline=demo_data` again; it goes on where it stopped. Or remove that folder."
            )
        names = sorted(self._names())
        if not names:
            raise InputError(
                f"{self._filepath} holds no pictures. Put keyboard skins there (PNG, JPEG, WebP ...), or "
                "draw some with `kedro run --pipeline=demo_data`."
            )
        ids = _ids(names)
        with (
            _DigestCache(self._cache_path) as digests,
            progress_bar(self._filepath.name, len(names)) as advance,
        ):
            items = []
            for name in names:
                items.append(self._item(ids[name], name, digests))
                advance()
        return Items(items)

    def save(self, data: Plan) -> None:
        """Make what the plan has and the subfolder lacks."""
        self._made.update(f"{self._filepath.name}/{self._made.path.name}", data)

    def content_manifest(self) -> dict[str, str]:
        """Return the sha256 of each file (or of what is wrong with it) by its path inside the folder."""
        return {item.record["source"]: item.sha256 for item in self.load().values()}

    def contact_sheet(self) -> bytes | None:
        """Return a PNG of up to 24 of the pictures."""
        names = sorted(self._names())
        return draw_contact_sheet(
            [path for name in names if self._problem(path := self._filepath / name) is None]
        )

    def preview(self) -> ImagePreview:
        """Return the contact sheet for kedro-viz."""
        return image_preview(self.contact_sheet())

    def _names(self) -> Iterator[str]:
        """Walk over the paths inside the folder; folders that are links are items that cannot be read."""
        for folder, folders, files in os.walk(self._filepath):
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            folders[:] = [name for name in folders if _is_visible(name) and name not in links]
            for name in filter(_is_visible, [*files, *links]):
                yield (Path(folder) / name).relative_to(self._filepath).as_posix()

    def _item(self, item_id: str, name: str, digests: _DigestCache) -> Item:
        """Describe one file."""
        path = self._filepath / name
        name = _readable(name)
        problem = self._problem(path)
        if problem is None:
            try:
                return Item(item_id, {"source": name}, digests.sha256(path, name), path)
            except OSError as exc:
                problem = f"cannot be read: {exc.strerror}"
        record = {"source": name, "problem": problem}
        return Item(item_id, record, json_digest(record))

    def _problem(self, path: Path) -> str | None:
        """Return why a file must not be read, if so."""
        if _readable(path.name) != path.name:
            return "a name that is not UTF-8; rename the file"
        target = path.resolve()
        if path.is_symlink() and not target.is_relative_to(self._filepath.resolve()):
            return "a link that leads out of the folder of raw skins; copy the picture there instead"
        if not target.exists():
            return "a link to a file that does not exist"
        if target.is_dir():
            return "a link to a folder"
        return None if target.is_file() else "not a regular file"

    def _exists(self) -> bool:
        return next(self._names(), None) is not None

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "subfolder": self._made.path.name}


def _is_visible(name: str) -> bool:
    return not name.startswith((".", "_"))


def _readable(name: str) -> str:
    """Return a file name as text, with escapes for bytes that are not UTF-8."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _ids(names: list[str]) -> dict[str, str]:
    """Return each name's id: without its suffix where that is unique, else whole.

    A whole name can itself be the stem of another file (``a.png`` beside ``a.jpg`` and ``a.png.webp``); whole
    names are taken for all of these.
    """
    stems = {name: PurePosixPath(_readable(name)).with_suffix("").as_posix() for name in names}
    while True:
        uses = Counter(stems.values())
        shared = [name for name, stem in stems.items() if uses[stem] > 1 and stem != _readable(name)]
        if not shared:
            return stems
        stems.update({name: _readable(name) for name in shared})


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
                lines = self._path.read_text(encoding="utf-8").splitlines()
                self._known = {
                    line["name"]: [line["stat"], line["sha256"]] for line in map(json.loads, lines)
                }
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

    def sha256(self, path: Path, name: str) -> str:
        """Return a file's digest, read only if the file is not the one that is known."""
        status = path.stat()
        stat = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        known_stat, sha256 = self._known.get(name, (None, ""))
        if known_stat != stat:
            begun = time.time()
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            if max(status.st_mtime, status.st_ctime) > begun - SETTLED_SECONDS:
                return sha256
        self._seen[name] = [stat, sha256]
        return sha256
