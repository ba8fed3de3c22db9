"""A Kedro dataset of several data folders, read to be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from skin_pipeline.datasets.items_dataset import ItemsDataset
from skin_pipeline.errors import ConfigurationError
from skin_pipeline.evaluation.comparison import ComparedRun
from skin_pipeline.items import json_digest

_GENERATED = Path("07_model_output/generated_skins")
_CARD = Path("06_models/controlnet/training.json")
_ROWS = Path("05_model_input/train_dataset/train.jsonl")
_SCORES = Path("08_reporting/evaluation_scores.json")
_METRICS = Path("08_reporting/training_metrics.jsonl")


class WorkspacesDataset(AbstractDataset[list[ComparedRun], list[ComparedRun]]):
    """The finished experiments below a data folder, one workspace each; read-only.

    A workspace counts when it holds weights and generated skins; scores are taken along if it was evaluated.

    Example YAML::

        compared_runs:
          type: skin_pipeline.datasets.WorkspacesDataset
          filepath: data
          names: whole_keyboard;four_parts_shared

    Example Python::

        WorkspacesDataset(filepath="data").load()[0].name
    """

    def __init__(
        self, *, filepath: str, names: str | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        """Describe the dataset.

        Args:
            filepath: The folder; workspaces are its subfolders.
            names: Which of them, separated by ``;``, in this order; also paths elsewhere. None: all.
            metadata: Anything; kept for plugins.
        """
        self._filepath = Path(filepath)
        self._names = None if names is None else [name.strip() for name in names.split(";") if name.strip()]
        self.metadata = metadata

    def load(self) -> list[ComparedRun]:
        """Read the workspaces, in order of their names unless they were named.

        Raises:
            ConfigurationError: A workspace that was named is not there, or not finished.
        """
        if self._names is None:
            return [self._read(path) for path in sorted(self._filepath.iterdir()) if _is_finished(path)]
        paths = [self._filepath / name for name in self._names]
        for path in paths:
            if not _is_finished(path):
                raise ConfigurationError(
                    f"'{path}' is no finished experiment: it should hold {_CARD} and {_GENERATED}. Run its"
                    " training and inference first, or leave it out of --params runs=…"
                )
        return [self._read(path) for path in paths]

    def save(self, data: list[ComparedRun]) -> None:
        """Refuse: experiments write their workspaces themselves."""
        raise NotImplementedError("Workspaces are read here, and written by the pipelines that run in them.")

    def content_manifest(self) -> dict[str, str]:
        """Return the digests of each workspace's weights card, generated skins and scores."""
        manifest: dict[str, str] = {}
        for run in self.load():
            parts = {"weights": run.card, "scores": run.scores}
            manifest |= {f"{run.name}/{part}": json_digest(value) for part, value in parts.items()}
            manifest[f"{run.name}/generated_skins"] = run.generated.digest
        return manifest

    def _read(self, path: Path) -> ComparedRun:
        scores, metrics = path / _SCORES, path / _METRICS
        with (path / _ROWS).open(encoding="utf-8") as rows:
            row = json.loads(next(rows))
        return ComparedRun(
            path.name,
            json.loads((path / _CARD).read_text(encoding="utf-8")),
            row,
            ItemsDataset(filepath=str(path / _GENERATED), suffix=".png").load(),
            json.loads(scores.read_text(encoding="utf-8")) if scores.is_file() else {},
            [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
            if metrics.is_file()
            else [],
        )

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "names": self._names}


def _is_finished(path: Path) -> bool:
    """Tell whether a folder holds the weights and the pictures of an experiment."""
    has_pictures = ItemsDataset(filepath=str(path / _GENERATED), suffix=".png").exists()
    return has_pictures and (path / _CARD).is_file() and (path / _ROWS).is_file()
