"""A folder of items: what is in it, what is out of date, and how to mend that through any number of kills.

A folder holds a file for each item (if its items have files) and one of two lists:

- ``_manifest.jsonl``: the folder is complete; one line an item, sorted by id.
- ``_journal.jsonl``: the folder is being brought up to date, or its run was killed; lines as they came.

:meth:`ItemFolder.update` turns the manifest into the journal, writes each missing item (announced in the
journal, written beside, flushed, renamed, recorded in the journal), removes files of items that are gone, and
turns the journal into the manifest. The last line of an id counts. An announcement without a record after it
says that the file of that id may be of any age, so it is made again. A torn last line is as good as none.

Manifests hold no times and no absolute paths: the same items give the same bytes anywhere.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from skin_pipeline.datasets.atomic import (
    exclusive_lock,
    flush_folder,
    storage_errors,
    temporary_path,
    write_atomically,
)
from skin_pipeline.datasets.progress import progress_bar
from skin_pipeline.errors import ConfigurationError, IncompleteDatasetError, StorageError
from skin_pipeline.items import (
    Made,
    Plan,
    Rejection,
    Task,
    canonical_json,
    item_key,
    json_digest,
    run_plan,
)

MANIFEST = "_manifest.jsonl"
JOURNAL = "_journal.jsonl"
LOCK = ".lock"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """What a folder knows about an item: a line of its manifest.

    Attributes:
        id: The item's id.
        key: Digest of all that the item was made from (:func:`skin_pipeline.items.item_key`).
        record: The stage's record; None when the worker rejected the item.
        sha256: Digest of the item's file, or of its record.
        size_bytes: Size of the item's file in this folder, if it has one.
        rejected: Why the item was left out, if it was.
    """

    id: str
    key: str
    record: Mapping[str, Any] | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    rejected: str | None = None

    def to_line(self) -> bytes:
        """Return the line that stands for the entry."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        return canonical_json(fields).encode() + b"\n"


FIELDS = frozenset(Entry.__dataclass_fields__)


class ItemFolder:
    """The files of one dataset of items, and the list of them."""

    def __init__(
        self, path: Path, *, suffix: str | None, source_folder: Path | None = None, adopt: bool = True
    ) -> None:
        """Describe the folder; nothing is read or written yet.

        Args:
            path: The folder.
            suffix: Suffix of the items' files (``.png``); None if the items are records only.
            source_folder: For items without a file of their own: the folder where the file named by
                ``record["source"]`` lies, whose digest then counts as the item's.
            adopt: Whether a file that no list knows of may be replaced (a folder that is all ours). If not,
                it is somebody's file and an error.
        """
        self.path = path
        self.suffix = suffix
        self.source_folder = source_folder
        self._adopt = adopt

    @property
    def manifest(self) -> Path:
        """The list of a complete folder."""
        return self.path / MANIFEST

    @property
    def journal(self) -> Path:
        """The list of a folder that is being brought up to date."""
        return self.path / JOURNAL

    def is_complete(self) -> bool:
        """Tell whether the folder's last update came to its end."""
        return self.manifest.is_file()

    def is_interrupted(self) -> bool:
        """Tell whether an update began that did not come to its end (or is still running)."""
        return self.journal.is_file() and not self.is_complete()

    def file_path(self, item_id: str) -> Path:
        """Return where the file of an item lies.

        Raises:
            ConfigurationError: The id would lie outside the folder, or be hidden or reserved.
        """
        parts = PurePosixPath(item_id).parts
        if not parts or "/".join(parts) != item_id or any(part.startswith((".", "_", "/")) for part in parts):
            raise ConfigurationError(
                f"'{item_id}' cannot name an item of {self.path}: expected a path without '..' whose parts "
                "do not begin with '.' or '_'."
            )
        return self.path / f"{item_id}{self.suffix or ''}"

    def read(self) -> list[Entry]:
        """Read the manifest.

        Returns:
            The entries, sorted by id.

        Raises:
            IncompleteDatasetError: The folder was never written, or its writing was interrupted.
        """
        if not self.is_complete():
            state = "was interrupted while it was written" if self.journal.exists() else "was not written yet"
            raise IncompleteDatasetError(
                f"{self.path} {state} (it has no {MANIFEST}). Run the pipeline that makes it; after an "
                "interruption the same command goes on where it stopped."
            )
        return [entry for entry in self._read_list(self.manifest).values() if entry is not None]

    def update(self, name: str, plan: Plan) -> None:
        """Bring the folder up to date with a plan, making what is missing or out of date.

        Args:
            name: What to call the folder in the log.
            plan: What is to be in it.

        Raises:
            ConfigurationError: An id cannot name a file here.
            StorageError: Another process writes the folder, or the disk is full or cannot be written.
            SkinPipelineError: A worker failed; see :func:`skin_pipeline.items.run_plan`.
        """
        assert plan.select is None or self.suffix is None, "A selection is for records without files."
        tasks = {task.id: task for task in plan.tasks()}
        for task_id in tasks:
            self.file_path(task_id)
        with storage_errors(self.path), exclusive_lock(self.path / LOCK):
            known = self._known()
            keys = {task_id: item_key(plan, task) for task_id, task in tasks.items()}
            reused = {
                task_id: entry
                for task_id, key in keys.items()
                if (entry := known.get(task_id)) is not None and entry.key == key and self._has_file(entry)
            }
            missing = [task for task_id, task in tasks.items() if task_id not in reused]
            gone = known.keys() - keys.keys()
            if missing or gone:
                self._reopen()
            made = self._make(name, plan, missing, keys, known.keys())
            self._remove(gone)
            entries = _select(plan, {**reused, **made})
            self._close(entries)
        num_rejected = sum(entry.rejected is not None for entry in entries)
        logger.info(
            "%s: %d items, %d reused, %d made, %d rejected",
            name, len(entries) - num_rejected, len(reused), len(made), num_rejected,
        )  # fmt: skip

    def _known(self) -> dict[str, Entry | None]:
        """Read what an earlier run left: the manifest if it ended, else the journal."""
        return self._read_list(self.manifest if self.is_complete() else self.journal)

    def _read_list(self, path: Path) -> dict[str, Entry | None]:
        """Read a list; None stands for an id whose file was announced but not recorded."""
        if not path.exists():
            return {}
        entries: dict[str, Entry | None] = {}
        with path.open("rb") as lines:
            for line in lines:
                fields = _parse(line)
                if fields is not None:
                    entries[fields["id"]] = Entry(**fields) if "key" in fields else None
        return entries

    def _has_file(self, entry: Entry) -> bool:
        """Tell whether an item's file is what its entry says, as far as its size can tell."""
        if entry.size_bytes is None:
            return entry.rejected is not None or self.suffix is None
        try:
            return self.file_path(entry.id).stat().st_size == entry.size_bytes
        except OSError:
            return False

    def _reopen(self) -> None:
        """Take the completeness mark off: the manifest becomes the journal."""
        if self.is_complete():
            self.manifest.replace(self.journal)
            flush_folder(self.path)

    def _make(
        self, name: str, plan: Plan, tasks: list[Task], keys: Mapping[str, str], known: Iterable[str]
    ) -> dict[str, Entry]:
        """Have tasks carried out and store each result as it comes."""
        made: dict[str, Entry] = {}
        if not tasks:
            return made
        ours = set(known)
        with self._appending() as journal, progress_bar(name, len(tasks)) as advance:

            def store(task: Task, result: Made | Rejection) -> None:
                may_replace = self._adopt or task.id in ours
                made[task.id] = self._store(journal, task, keys[task.id], result, may_replace=may_replace)
                advance()

            run_plan(plan, tasks, store)
        return made

    @contextmanager
    def _appending(self) -> Iterator[BinaryIO]:
        """Open the journal to append whole lines; a torn last line is cut off first."""
        with self.journal.open("a+b") as journal:
            journal.seek(0)
            journal.truncate(journal.read().rfind(b"\n") + 1)
            yield journal

    def _store(
        self, journal: BinaryIO, task: Task, key: str, result: Made | Rejection, *, may_replace: bool
    ) -> Entry:
        """Store one result: its file, then its line in the journal."""
        path = self.file_path(task.id)
        if isinstance(result, Made) and result.content is not None:
            assert self.suffix is not None, f"Item '{task.id}' has a picture, {self.path} is for records."
            if not may_replace and path.exists():
                raise StorageError(
                    f"{path} is in the way: it was not written by this pipeline. Move it elsewhere and run "
                    "the same command again."
                )
            _append(journal, canonical_json({"id": task.id}).encode() + b"\n")
            write_atomically(path, result.content)
        elif self.suffix is not None and may_replace:
            _discard(path)
        entry = self._entry(task, key, result)
        _append(journal, entry.to_line())
        return entry

    def _entry(self, task: Task, key: str, result: Made | Rejection) -> Entry:
        """Describe a result."""
        if isinstance(result, Rejection):
            return Entry(task.id, key, rejected=result.reason)
        record = result.record
        if result.content is not None:
            sha256 = hashlib.sha256(result.content).hexdigest()
            return Entry(task.id, key, record, sha256, len(result.content))
        assert self.suffix is None, f"Item '{task.id}' has no picture, {self.path} is for pictures."
        return Entry(task.id, key, record, self._source_digest(task, record) or json_digest(record))

    def _source_digest(self, task: Task, record: Mapping[str, Any]) -> str | None:
        """Return the digest of the file that a record points to, as the task's inputs know it."""
        if self.source_folder is None:
            return None
        path = self.source_folder / record["source"]
        digests = {item.path: item.sha256 for item in task.inputs.values()}
        assert path in digests, f"Item '{task.id}' is about {path}, which is not among its inputs."
        return digests[path]

    def _remove(self, gone: Iterable[str]) -> None:
        """Remove the files of items that the plan does not have, and folders that are empty then."""
        if self.suffix is None:
            return
        for item_id in gone:
            path = self.file_path(item_id)
            _discard(path)
            for folder in path.parents:
                if folder == self.path or not folder.is_dir() or any(folder.iterdir()):
                    break
                folder.rmdir()

    def _close(self, entries: list[Entry]) -> None:
        """Write the manifest, if it is not the one that is there, and drop the journal."""
        content = b"".join(entry.to_line() for entry in entries)
        if not (self.is_complete() and self.manifest.read_bytes() == content):
            for folder in {
                self.file_path(entry.id).parent for entry in entries if entry.size_bytes is not None
            }:
                flush_folder(folder)
            write_atomically(self.manifest, content)
            flush_folder(self.path)
        self.journal.unlink(missing_ok=True)


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a list's line as fields; None if a kill or a power cut tore it, or another version wrote it."""
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if line.endswith(b"\n") and isinstance(fields, dict) and fields.keys() <= FIELDS else None


def _append(journal: BinaryIO, line: bytes) -> None:
    """Append a line so that it outlives this process."""
    journal.write(line)
    journal.flush()


def _discard(path: Path) -> None:
    """Remove an item's file, and what is left of an attempt to write it."""
    temporary_path(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _select(plan: Plan, entries: Mapping[str, Entry]) -> list[Entry]:
    """Sort entries by id and reject those that the plan's selection leaves out."""
    if plan.select is None:
        return [entries[item_id] for item_id in sorted(entries)]
    made = {item_id: entry for item_id, entry in entries.items() if entry.record is not None}
    reasons = plan.select({item_id: made[item_id].record or {} for item_id in sorted(made)})
    return [
        Entry(**{**vars(entries[item_id]), "rejected": reasons.get(item_id)})
        if item_id in made
        else entries[item_id]
        for item_id in sorted(entries)
    ]
