"""The node that trains."""

import functools
import shutil
from pathlib import Path
from typing import Any

from skin_pipeline.items import Folder, FolderPlan
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.launcher import launch_training
from skin_pipeline.training.metrics import deterministic_rows
from skin_pipeline.training.reporting import forwarding_to_mlflow


def train_controlnet(
    train_dataset: Folder, parameters: TrainParameters
) -> tuple[FolderPlan, list[dict[str, Any]]]:
    """Train a ControlNet on a published training set, or finish an earlier training of the same.

    Metrics and validation pictures go to the active MLflow run, if there is one, as they come.

    Args:
        train_dataset: train.jsonl, validation.jsonl and their pictures.
        parameters: How to train.

    Returns:
        The weights, as ``save_pretrained`` writes them, with training.json beside them; and the metrics
        without timings, so that equal trainings have equal metrics.
    """
    with forwarding_to_mlflow() as on_row:
        result = launch_training(parameters, train_dataset.path, train_dataset.digest, on_row=on_row)
    return FolderPlan(functools.partial(_copy, result.weights)), deterministic_rows(result.metrics)


def _copy(weights: Path, folder: Path) -> None:
    shutil.copytree(weights, folder, dirs_exist_ok=True)
