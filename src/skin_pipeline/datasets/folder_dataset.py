"""A Kedro dataset of one folder that is published as a whole: a training set, a model's weights."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import orjson
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from skin_pipeline.datasets.atomic import (
    exclusive_lock,
    flush_folder,
    has_size,
    storage_errors,
    write_atomically,
)
from skin_pipeline.datasets.contact_sheet import table_preview
from skin_pipeline.errors import IncompleteDatasetError, StorageError
from skin_pipeline.items import Folder, FolderPlan, canonical_json, json_digest

MARKER = "_manifest.json"


class FolderDataset(AbstractDataset[FolderPlan, Folder]):
    """A folder that is there wholly or not at all.

    Saving fills a hidden folder beside it, adds ``_manifest.json`` (sha256 and size of each file, and the run
    that made them where the plan names it) and swaps the two.
    A reader finds the old folder or the new one, or none in the instant between two renames; what a
    kill in that instant leaves is mended by the next save.

    Versions: Kedro's ``versioned`` is not offered; a published folder is known by its digest
    (``load().digest``), and models are kept as versions in MLflow's registry.

    Example YAML::

        controlnet_weights:
          type: skin_pipeline.datasets.FolderDataset
          filepath: data/06_models/controlnet
          metadata: {mlflow: {registered_model: controlnet}}

    Example Python::

        dataset = FolderDataset(filepath="data/06_models/controlnet")
        dataset.save(FolderPlan(controlnet.save_pretrained))
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Describe the dataset.

        Args:
            filepath: The folder.
            metadata: Anything; kept for plugins.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Folder:
        """Return the folder, with the digests that were taken when it was published.

        Raises:
            IncompleteDatasetError: The folder was not published yet, or a file has gone since.
        """
        return self._read()

    def save(self, data: FolderPlan) -> None:
        """Fill a folder beside and put it in place."""
        beside = self._beside("new")
        lock = self._filepath.with_name(f".{self._filepath.name}.lock")
        with storage_errors(self._filepath), exclusive_lock(lock):
            self._mend_swap()
            if data.key is not None and self._is_current(data.key):
                self._logger.info("%s: unchanged", self._filepath.name)
                return
            self._refuse_foreign_folder()
            beside.mkdir(parents=True)
            try:
                data.write(beside)
                self._publish(beside, data)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
            self._logger.info("%s: published", self._filepath.name)

    def content_manifest(self) -> dict[str, str]:
        """Return the sha256 of each file by its path inside the folder."""
        return dict(self._read().files)

    def preview(self) -> TablePreview:
        """Return the names and sizes of the files as a table for kedro-viz."""
        files = self._marker()["files"].items()
        return table_preview([{"file": name, "bytes": size, "sha256": sha} for name, (sha, size) in files])

    def _read(self) -> Folder:
        """Read the marker and see that each file is there."""
        marker = self._marker()
        files = marker["files"]
        for name, (_, size_bytes) in files.items():
            if not has_size(f"{self._filepath}/{name}", size_bytes):
                raise IncompleteDatasetError(
                    f"{self._filepath / name} is missing or not the {size_bytes} bytes that were published. "
                    f"Remove {self._filepath} and run the pipeline that makes it."
                )
        digests = {name: sha256 for name, (sha256, _) in files.items()}
        return Folder(self._filepath, json_digest(digests), digests, marker.get("source_run"))

    def _marker(self) -> dict[str, Any]:
        """Read what was published."""
        try:
            marker: dict[str, Any] = orjson.loads((self._filepath / MARKER).read_bytes())
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise IncompleteDatasetError(
                f"{self._filepath} was not published yet (no {MARKER} in it). Run the pipeline that makes it."
            ) from exc
        return marker

    def _is_current(self, key: str) -> bool:
        """Tell whether the published folder was made from the same and is whole."""
        try:
            marker = self._marker()
        except IncompleteDatasetError:
            return False
        return marker["key"] == key and all(
            has_size(f"{self._filepath}/{name}", size_bytes)
            for name, (_, size_bytes) in marker["files"].items()
        )

    def _beside(self, state: str) -> Path:
        """Return the name of the hidden folder that is ``new`` or ``old``."""
        return self._filepath.with_name(f".{self._filepath.name}.{state}")

    def _mend_swap(self) -> None:
        """Undo or end what a kill left of an earlier save."""
        if self._beside("old").exists() and not self._filepath.exists():
            self._beside("old").rename(self._filepath)
        for state in ("old", "new"):
            shutil.rmtree(self._beside(state), ignore_errors=True)

    def _refuse_foreign_folder(self) -> None:
        """Do not replace what somebody else put there."""
        if self._filepath.exists() and not self._exists() and any(self._filepath.iterdir()):
            raise StorageError(
                f"{self._filepath} is in the way: it was not written by this pipeline (it has no {MARKER}). "
                "Move it elsewhere and run the same command again."
            )

    def _publish(self, beside: Path, plan: FolderPlan) -> None:
        """Flush a filled folder, mark it as complete and swap it with the one in place."""
        paths = sorted(path for path in beside.rglob("*") if path.is_file())
        files = {path.relative_to(beside).as_posix(): _flushed(path) for path in paths}
        marker = {"key": plan.key, "files": files, "source_run": plan.source_run}
        write_atomically(beside / MARKER, canonical_json(marker).encode())
        for folder in {path.parent for path in paths} | {beside}:
            flush_folder(folder)
        retired = self._beside("old")
        if self._filepath.exists():
            self._filepath.rename(retired)
        beside.rename(self._filepath)
        flush_folder(self._filepath.parent)
        shutil.rmtree(retired, ignore_errors=True)

    def _exists(self) -> bool:
        return (self._filepath / MARKER).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _flushed(path: Path) -> tuple[str, int]:
    """Flush a file to the disk; return its sha256 and size."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
