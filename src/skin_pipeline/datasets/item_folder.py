"""A folder of items: what is in it, what is out of date, and how to mend that through any number of kills.

A folder holds a file for each item (if its items have files) and one of two lists:

- ``_manifest.jsonl``: the folder is complete; one line an item, sorted by id.
- ``_journal.jsonl``: the folder is being brought up to date, or its run was killed; lines as they came.

:meth:`ItemFolder.update` turns the manifest into the journal, writes each missing item (announced in the
journal, written beside, flushed, renamed, recorded in the journal), removes files of items that are gone, and
turns the journal into the manifest. The last line of an id counts. An announcement without a record after it
says that the file of that id may be of any age, so it is made again. A torn last line is as good as none.

Manifests hold no times and no absolute paths: the same items give the same bytes anywhere.

In most runs nothing has changed, and that must cost little, however many items there are. Beside the manifest
lies ``.summary.json`` with the key of the plan that it was made by (:attr:`skin_pipeline.items.Plan.key`, a
digest over all that goes into the items' own keys) and the digests of its items, which the keys of the plans
that follow are made of. When a plan comes with that key, and every file is there with its size, the folder is
up to date and no item is looked at. A summary counts only beside the very manifest that it was taken from, by
size, times and inode; it can be lost or left behind at any time, and then items are asked one by one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from skin_pipeline.datasets.atomic import (
    exclusive_lock,
    flush_folder,
    has_size,
    storage_errors,
    temporary_path,
    write_atomically,
)
from skin_pipeline.datasets.item_list import Entry, ItemList
from skin_pipeline.datasets.progress import progress_bar
from skin_pipeline.engines import Engine, Made
from skin_pipeline.errors import ConfigurationError, IncompleteDatasetError, StorageError
from skin_pipeline.items import (
    Plan,
    Rejection,
    Task,
    canonical_json,
    digest_contents,
    item_key,
    json_digest,
)

MANIFEST = "_manifest.jsonl"
JOURNAL = "_journal.jsonl"
SUMMARY = ".summary.json"
LOCK = ".lock"

logger = logging.getLogger(__name__)

_ID = re.compile(r"(?![._])[^/\0]+(?:/(?![._])[^/\0]+)*")
"""A path inside the folder whose parts are neither hidden nor reserved."""


@dataclass(frozen=True)
class Summary:
    """What is known of a complete folder without looking at its items.

    Attributes:
        plan_key: :attr:`skin_pipeline.items.Plan.key` of the plan that the folder was last saved by.
        digest: :attr:`skin_pipeline.items.Items.digest` of its items.
        full_digest: :attr:`skin_pipeline.items.Items.full_digest` of its items.
        num_items: How many there are, rejected ones not counted.
        rejected: Reason by id, sorted.
    """

    plan_key: str | None
    digest: str
    full_digest: str
    num_items: int
    rejected: dict[str, str]


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
        self._check_id(item_id)
        return self.path / f"{item_id}{self.suffix or ''}"

    def _check_id(self, item_id: str) -> None:
        """Refuse an id whose file would lie outside the folder, or be hidden or reserved."""
        if not _ID.fullmatch(item_id):
            raise ConfigurationError(
                f"'{item_id}' cannot name an item of {self.path}: expected a path without '..' whose parts "
                "do not begin with '.' or '_'."
            )

    def open(self) -> ItemList:
        """Open the manifest; what it says stays readable when the folder is brought up to date.

        Raises:
            IncompleteDatasetError: The folder was never written, or its writing was interrupted.
        """
        if not self.is_complete():
            state = "was interrupted while it was written" if self.journal.exists() else "was not written yet"
            raise IncompleteDatasetError(
                f"{self.path} {state} (it has no {MANIFEST}). Run the pipeline that makes it; after an "
                "interruption the same command goes on where it stopped."
            )
        return ItemList(self.manifest)

    def read(self) -> list[Entry]:
        """Read the manifest; see :meth:`open` for what it raises.

        Returns:
            The entries, sorted by id.
        """
        return [entry for entry in self.open().entries(check_records=False).values() if entry is not None]

    def summary(self, manifest: ItemList) -> Summary | None:
        """Return what is known of the items of an open manifest; None if there is no summary of it."""
        try:
            stored = orjson.loads((self.path / SUMMARY).read_bytes())
            stat = stored.pop("stat")
            return Summary(**stored) if stat == manifest.stat() else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def update(self, name: str, plan: Plan, engine: Engine) -> None:
        """Bring the folder up to date with a plan, making what is missing or out of date.

        Args:
            name: What to call the folder in the log.
            plan: What is to be in it.
            engine: Makes what is missing.

        Raises:
            ConfigurationError: An id cannot name a file here.
            StorageError: Another process writes the folder, or the disk is full or cannot be written.
            SkinPipelineError: A worker failed; see :meth:`skin_pipeline.engines.Engine.run`.
        """
        assert plan.select is None or self.suffix is None, "A selection is for records without files."
        with storage_errors(self.path), exclusive_lock(self.path / LOCK):
            num_made = 0
            if (summary := self._summary_of(plan)) is None:
                summary, num_made = self._bring_up_to_date(name, plan, engine)
        num_rejected = len(summary.rejected)
        num_reused = summary.num_items + num_rejected - num_made
        logger.info(
            "%s: %d items, %d reused, %d made, %d rejected",
            name, summary.num_items, num_reused, num_made, num_rejected,
        )  # fmt: skip

    def _summary_of(self, plan: Plan) -> Summary | None:
        """Return the folder's summary if the plan would change nothing in it."""
        if plan.key is None or not self.is_complete():
            return None
        manifest = self.open()
        summary = self.summary(manifest)
        is_current = summary is not None and summary.plan_key == plan.key and self._has_files(manifest)
        return summary if is_current else None

    def _bring_up_to_date(self, name: str, plan: Plan, engine: Engine) -> tuple[Summary, int]:
        """Ask every item whether it is current; return what is there then, and how many were made."""
        tasks = plan.tasks()
        for task in tasks:
            self._check_id(task.id)
        known = self._known()
        reused: dict[str, Entry] = {}
        keys: dict[str, str] = {}
        for task in tasks:
            key = item_key(plan, task)
            entry = known.get(task.id)
            if entry is not None and entry.key == key and self._has_file(entry):
                reused[task.id] = entry
            else:
                keys[task.id] = key
        missing = [task for task in tasks if task.id in keys]
        del tasks  # what is reused needs none, and there may be very many
        gone = known.keys() - keys.keys() - reused.keys()
        if missing or gone:
            self._reopen()
        made = self._make(name, plan, engine, missing, keys, known.keys())
        self._remove(gone)
        entries = _select(plan, {**reused, **made})
        self._close(entries, changed=any(known.get(entry.id) is not entry for entry in entries))
        summary = summarise(plan.key, entries)
        self._write_summary(summary)
        return summary, len(made)

    def _known(self) -> dict[str, Entry | None]:
        """Read what an earlier run left: the manifest if it ended, else the journal."""
        if self.is_complete():
            return ItemList(self.manifest).entries(check_records=False)
        return ItemList(self.journal).entries(check_records=True) if self.journal.exists() else {}

    def _has_file(self, entry: Entry) -> bool:
        """Tell whether an item's file is what its entry says, as far as its size can tell."""
        if entry.size_bytes is None:
            return entry.rejected is not None or self.suffix is None
        return has_size(f"{self.path}/{entry.id}{self.suffix or ''}", entry.size_bytes)

    def _has_files(self, manifest: ItemList) -> bool:
        """Tell whether all files are what the manifest says, as far as their sizes can tell."""
        if self.suffix is None:
            return True
        return all(
            has_size(f"{self.path}/{head['id']}{self.suffix}", head["size_bytes"])
            for head in manifest.heads()
            if "size_bytes" in head
        )

    def _reopen(self) -> None:
        """Take the completeness mark off: the manifest becomes the journal."""
        if self.is_complete():
            self.manifest.replace(self.journal)
            flush_folder(self.path)

    def _make(
        self,
        name: str,
        plan: Plan,
        engine: Engine,
        tasks: list[Task],
        keys: Mapping[str, str],
        known: Iterable[str],
    ) -> dict[str, Entry]:
        """Have tasks carried out and store each result as it comes."""
        made: dict[str, Entry] = {}
        if not tasks:
            return made
        ours = set(known)
        with self._appending() as journal, progress_bar(name, len(tasks)) as advance:
            written = ItemList(self.journal)

            def store(task: Task, result: Made | Rejection) -> None:
                may_replace = self._adopt or task.id in ours
                entry = self._store(journal, task, keys[task.id], result, may_replace=may_replace)
                start = journal.tell()
                line = entry.to_line()
                _append(journal, line)
                made[task.id] = replace(written.entry_at(line, start), id=task.id, key=keys[task.id])
                advance()

            engine.run(plan, tasks, store)
        return made

    @contextmanager
    def _appending(self) -> Iterator[BinaryIO]:
        """Open the journal to append whole lines; a torn last line is cut off first."""
        with self.journal.open("a+b") as journal:
            journal.truncate(_end_of_lines(journal))
            journal.seek(0, os.SEEK_END)  # what is appended is found again by its place
            yield journal

    def _store(
        self, journal: BinaryIO, task: Task, key: str, result: Made | Rejection, *, may_replace: bool
    ) -> Entry:
        """Store one result's file, and describe the result."""
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
        return self._entry(task, key, result)

    def _entry(self, task: Task, key: str, result: Made | Rejection) -> Entry:
        """Describe a result."""
        if isinstance(result, Rejection):
            return Entry(task.id, key, rejected=result.reason)
        record, record_sha256 = result.record, json_digest(result.record)
        if result.content is not None:
            sha256 = hashlib.sha256(result.content).hexdigest()
            return Entry(task.id, key, record, record_sha256, sha256, len(result.content))
        assert self.suffix is None, f"Item '{task.id}' has no picture, {self.path} is for pictures."
        return Entry(task.id, key, record, record_sha256, self._source_digest(task, record) or record_sha256)

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

    def _close(self, entries: list[Entry], *, changed: bool) -> None:
        """Write the manifest, if the one that is there says something else, and drop the journal."""
        if changed or not self.is_complete():
            folders = {entry.id.rpartition("/")[0] for entry in entries if entry.size_bytes is not None}
            for folder in folders:
                flush_folder(self.path / folder)
            write_atomically(self.manifest, (entry.to_line() for entry in entries))
            flush_folder(self.path)
        self.journal.unlink(missing_ok=True)

    def _write_summary(self, summary: Summary) -> None:
        """Write the summary of the manifest that is there, if it is not there already."""
        manifest = self.open()
        if self.summary(manifest) != summary:
            fields = {"stat": manifest.stat(), **asdict(summary)}
            write_atomically(self.path / SUMMARY, canonical_json(fields).encode())


def summarise(plan_key: str | None, entries: Sequence[Entry]) -> Summary:
    """Take the summary of a complete folder.

    Args:
        plan_key: Of the plan that it was saved by.
        entries: All of them, sorted by id.
    """
    kept = [entry for entry in entries if entry.rejected is None]
    left_out = [entry for entry in entries if entry.rejected is not None and entry.record is not None]
    rejected = {entry.id: entry.rejected for entry in entries if entry.rejected is not None}
    digest = _digest_entries(kept)
    full_digest = json_digest([digest, _digest_entries(left_out), rejected])
    return Summary(plan_key, digest, full_digest, len(kept), rejected)


def _digest_entries(entries: Iterable[Entry]) -> str:
    return digest_contents((entry.id, entry.sha256 or "", entry.record_sha256 or "") for entry in entries)


def _end_of_lines(journal: BinaryIO, block_bytes: int = 2**16) -> int:
    """Return where a journal's last whole line ends; only its end is read."""
    end = journal.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - block_bytes)
        journal.seek(start)
        found = journal.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


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
    ids = sorted(entries)
    records = {item_id: record for item_id in ids if (record := entries[item_id].record) is not None}
    reasons = plan.select(records)
    return [_judged(entries[item_id], reasons.get(item_id)) for item_id in ids]


def _judged(entry: Entry, reason: str | None) -> Entry:
    """Return an entry with the selection's verdict; what a worker rejected stays rejected."""
    if entry.record is None or entry.rejected == reason:
        return entry
    return replace(entry, rejected=reason)
