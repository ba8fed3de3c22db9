"""What a workspace holds now and has held before, as questions about lineage need it. Knows no Kedro."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from skin_pipeline.errors import IncompleteDatasetError, InputError
from skin_pipeline.items import Folder, Items, json_digest
from skin_pipeline.lineage.history import History
from skin_pipeline.lineage.tracking import Tracking

CARD = "training.json"
"""Beside weights: resolved parameters, digests of data and base model, step."""

Load = Callable[[str], Any]


@dataclass(frozen=True)
class Weights:
    """Weights that are, or were, in the workspace.

    Attributes:
        digest: Of the folder's files.
        card: Its training.json.
        folder: Where they lie; None if they are there no more.
        run_folder: The folder of their training; None if it is gone.
        source_run: MLflow's run that trained them, where that was written down.
    """

    digest: str
    card: Mapping[str, Any]
    folder: Path | None = None
    run_folder: Path | None = None
    source_run: str | None = None

    @property
    def dataset_digest(self) -> str | None:
        """The version of the training set that they were trained on."""
        digest: str | None = self.card.get("dataset", {}).get("digest")
        return digest


class Workspace:
    """One data folder: its datasets, runs of training, history and tracking store."""

    def __init__(
        self,
        load: Load,
        packages: tuple[str, ...],
        runs_folder: Path | None,
        history: History,
        tracking: Tracking,
    ) -> None:
        """Keep what is asked later.

        Args:
            load: Loads a dataset by its name in the catalog.
            packages: Names of the datasets of exported skins.
            runs_folder: Where trainings keep their folders.
            history: What was made by which run.
            tracking: What MLflow knows.
        """
        self._load = load
        self.package_names = packages
        self._runs_folder = runs_folder
        self.history = history
        self.tracking = tracking

    def items(self, name: str) -> Items:
        """Return a dataset of items; an empty one where it was not made yet."""
        items = self._loaded(name)
        return items if isinstance(items, Items) else Items()

    def folder(self, name: str) -> Folder | None:
        """Return a published folder; None where it was not made yet."""
        folder = self._loaded(name)
        return folder if isinstance(folder, Folder) else None

    def rejections(self) -> dict[str, str]:
        """Return the reason by id for each skin that the last preparation left out."""
        return {row["id"]: row["reason"] for row in self._loaded("rejected_skins") or []}

    def _loaded(self, name: str) -> Any:
        if name not in self._cache:
            try:
                self._cache[name] = self._load(name)
            except (IncompleteDatasetError, InputError):
                self._cache[name] = None
        return self._cache[name]

    @cached_property
    def _cache(self) -> dict[str, Any]:
        return {}

    # --- weights ---------------------------------------------------------------------------------------

    @cached_property
    def weights(self) -> dict[str, Weights]:
        """All weights that are known, by digest: published, of trainings' folders, and of before."""
        known = {digest: Weights(digest, card) for digest, card in self._earlier_cards()}
        published = self.folder("controlnet_weights")
        if published is not None:
            card = read_card(published.path) or {}
            known[published.digest] = Weights(
                published.digest, card, published.path, source_run=published.source_run
            )
        for folder in self._training_folders():
            card = read_card(folder / "weights") or {}
            same = next((weights for weights in known.values() if weights.card == card), None)
            digest = folder_digest(folder / "weights") if same is None else same.digest
            where = folder / "weights" if same is None or same.folder is None else same.folder
            source_run = None if same is None else same.source_run
            known[digest] = Weights(digest, card, where, folder, source_run)
        return known

    def _earlier_cards(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, digest in self.history.versions:
            contents = self.history.contents(digest) if name == "controlnet_weights" else None
            if contents is not None and CARD in contents:
                yield digest, json.loads(contents[CARD])

    def _training_folders(self) -> list[Path]:
        if self._runs_folder is None:
            return []
        return sorted(path.parent.parent for path in self._runs_folder.glob(f"*/weights/{CARD}"))

    # --- training sets ---------------------------------------------------------------------------------

    def splits(self, digest: str) -> Mapping[str, str] | None:
        """Return the split of each skin in a version of the training set; None if that is not known."""
        current = self.folder("train_dataset")
        if current is not None and current.digest == digest:
            return read_splits(current.path)
        return self.history.contents(digest)

    def training_sets(self) -> list[str]:
        """Return the digests of all versions of the training set that are known, oldest first."""
        digests = [digest for name, digest in self.history.versions if name == "train_dataset"]
        current = self.folder("train_dataset")
        if current is not None and current.digest not in digests:
            digests.append(current.digest)
        return digests

    def raw_files(self, dataset_digest: str, dataset: str = "raw_skins") -> dict[str, str] | None:
        """Return the sha256 by path of the raw files that a version of the training set was made from.

        Args:
            dataset_digest: The version.
            dataset: ``raw_skins`` or ``raw_packages``.

        Returns:
            None if that is not known.
        """
        digest = self.history.ancestor("train_dataset", dataset_digest, dataset)
        kept = None if digest is None else self.history.contents(digest)
        if kept is not None:
            return kept
        current = self.folder("train_dataset")
        if current is None or current.digest != dataset_digest:
            return None
        if dataset == "raw_skins":
            return {
                str(item.record["source"]): item.sha256 for item in self.items("screened_skins").values()
            } or None
        return {str(item.record["source"]): item.sha256 for item in self.items(dataset).values()} or None


def read_card(folder: Path) -> dict[str, Any] | None:
    """Return the training.json of weights; None if there is none."""
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_bytes())
    except (OSError, ValueError):
        return None
    return card


def read_splits(folder: Path) -> dict[str, str]:
    """Return the split by id of each skin in a published training set."""
    from skin_pipeline.prep.publish import SPLITS

    splits = {}
    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        if path.is_file():
            with path.open(encoding="utf-8") as lines:
                rows = map(json.loads, lines)
                splits.update({row.get("skin", row["image"]): split for row in rows})
    return splits


def folder_digest(folder: Path) -> str:
    """Return the digest that a folder has, or would have, when it is published."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("_"))
    return json_digest({path.relative_to(folder).as_posix(): file_sha256(path) for path in files})


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
