"""What every version of the data was made from and by which run, kept beside the data.

Datasets hold their newest version only, and MLflow may be out of reach or left behind when a workspace moves.
So each run adds what it made to a folder of its own, ``.lineage`` in the data folder::

    versions.jsonl              a line for each new version of a dataset: digest, direct inputs, run
    pictures.jsonl              a line for each generated picture: digest of its file, record
    contents/<digest>.json      what a version held, for those datasets where that is asked (see ``hooks``)

Lines are only ever added, and none is added twice; nothing here is part of any item's key. Knows no Kedro.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

FOLDER = ".lineage"
"""Name of the history's folder in the data folder."""


@dataclass(frozen=True)
class Run:
    """A run of a pipeline.

    Attributes:
        id: MLflow's id of it; None if it was not tracked.
        command: What started it, ``kedro run --pipeline=train``.
        code: The commit of the project's code, with ``+changes`` if files differed from it; None if unknown.
        began: When, ISO 8601 with the offset to UTC.
        status: ``FINISHED``, ``FAILED``, ``KILLED`` or ``RUNNING``; None where only MLflow would know.
    """

    id: str | None
    command: str
    code: str | None
    began: str
    status: str | None = None


@dataclass(frozen=True)
class Version:
    """A version of a dataset, as it was first made.

    Attributes:
        dataset: Name in the catalog.
        digest: Of its content manifest.
        run: What made it.
        made_from: Digest by name of the datasets that the node read.
    """

    dataset: str
    digest: str
    run: Run
    made_from: Mapping[str, str] = field(default_factory=dict)


class History:
    """The history of one workspace. Only runs write to it, and they have the workspace to themselves."""

    def __init__(self, data_folder: Path) -> None:
        """Look at a workspace's history; nothing is read or written yet.

        Args:
            data_folder: ``data_root`` of the configuration.
        """
        self._folder = data_folder / FOLDER

    @cached_property
    def versions(self) -> dict[tuple[str, str], Version]:
        """All versions by name and digest, in the order in which they were made."""
        versions: dict[tuple[str, str], Version] = {}
        for line in _lines(self._folder / "versions.jsonl"):
            version = Version(**{**line, "run": Run(**line["run"])})
            versions.setdefault((version.dataset, version.digest), version)
        return versions

    @cached_property
    def pictures(self) -> dict[str, dict[str, Any]]:
        """Every generated picture by the sha256 of its file: ``id``, ``record`` and ``run``."""
        pictures: dict[str, dict[str, Any]] = {}
        for line in _lines(self._folder / "pictures.jsonl"):
            pictures.setdefault(line.pop("sha256"), line)
        return pictures

    def contents(self, digest: str) -> dict[str, str] | None:
        """Return what a version held; None if that was not kept."""
        try:
            contents: dict[str, str] = json.loads(self._contents_file(digest).read_bytes())
        except (OSError, ValueError):
            return None
        return contents

    def ancestor(self, dataset: str, digest: str, wanted: str) -> str | None:
        """Return the digest of the ``wanted`` dataset that a version was made from, however indirectly."""
        seen = set()
        waiting = [(dataset, digest)]
        while waiting:
            step = waiting.pop()
            if step[0] == wanted and step != (dataset, digest):
                return step[1]
            version = self.versions.get(step)
            if version is not None and step not in seen:
                waiting.extend(version.made_from.items())
            seen.add(step)
        return None

    def add_version(self, version: Version) -> None:
        """Note a version, unless it is known.

        Raises:
            OSError: It could not be written.
        """
        if (version.dataset, version.digest) not in self.versions:
            _append(self._folder / "versions.jsonl", [asdict(version)])
            self.versions[version.dataset, version.digest] = version

    def add_contents(self, digest: str, contents: Mapping[str, str]) -> None:
        """Keep what a version held.

        Raises:
            OSError: It could not be written.
        """
        path = self._contents_file(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".tmp")
        beside.write_text(json.dumps(contents, ensure_ascii=False, sort_keys=True), encoding="utf-8")
        beside.replace(path)

    def has_contents(self, digest: str) -> bool:
        """Tell whether what a version held was kept."""
        return self._contents_file(digest).is_file()

    def add_pictures(self, pictures: Iterable[tuple[str, str, Mapping[str, Any]]], run: Run) -> None:
        """Note generated pictures, but for those that are known.

        Args:
            pictures: Of each the sha256 of its file, its id and its record.
            run: What made them.

        Raises:
            OSError: They could not be written.
        """
        new = {
            sha256: {"id": item_id, "record": dict(record), "run": asdict(run)}
            for sha256, item_id, record in pictures
            if sha256 not in self.pictures
        }
        _append(self._folder / "pictures.jsonl", ({"sha256": sha256, **line} for sha256, line in new.items()))
        self.pictures.update(new)

    def _contents_file(self, digest: str) -> Path:
        return self._folder / "contents" / f"{digest}.json"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read whole lines; one that a kill cut short is passed over."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                continue


def _append(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Append lines and bring them to the disk; a line that was cut short before is ended first."""
    text = "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)
    if not text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
