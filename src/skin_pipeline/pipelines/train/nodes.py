"""The nodes that train, and say what became of it."""

import functools
import logging
import shutil
from pathlib import Path
from typing import Any

from skin_pipeline.evaluation import verdict as verdicts
from skin_pipeline.evaluation.parameters import EvaluationParameters
from skin_pipeline.items import Folder, FolderPlan
from skin_pipeline.pipelines.train.judging import PictureJudge
from skin_pipeline.prep.edges import EdgeParameters
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.launcher import launch_training
from skin_pipeline.training.metrics import deterministic_rows
from skin_pipeline.training.reporting import active_run_id, forwarding_to_mlflow

logger = logging.getLogger(__name__)


def train_controlnet(
    train_dataset: Folder,
    parameters: TrainParameters,
    edges: EdgeParameters,
    evaluation: EvaluationParameters,
) -> tuple[FolderPlan, list[dict[str, Any]]]:
    """Train a ControlNet on a published training set, or finish an earlier training of the same.

    Metrics and validation pictures go to the active MLflow run, if there is one, as they come, and with the
    pictures how far they follow their conditioning images and can be read, and whether they are training
    pictures over again.

    Args:
        train_dataset: train.jsonl, validation.jsonl and their pictures.
        parameters: How to train.
        edges: How the conditioning images' edges were traced.
        evaluation: How the pictures that are drawn on the way are judged.

    Returns:
        The weights, as ``save_pretrained`` writes them, with training.json beside them and the MLflow run
        that finished the training, which need not be the active one; and the metrics without timings, so
        that equal trainings have equal metrics.
    """
    with forwarding_to_mlflow() as forward:
        judge = PictureJudge(train_dataset.path, edges, evaluation, forward)
        result = launch_training(
            parameters,
            train_dataset.path,
            train_dataset.digest,
            on_row=judge,
            tracking_run=active_run_id(),
        )
    weights = FolderPlan(functools.partial(_copy, result.weights), source_run=result.source_run)
    pictures = [
        {**row, "path": str(result.folder / row["path"])}
        for row in result.metrics
        if row["kind"] == "picture"
    ]
    return weights, judge.add_to(deterministic_rows(result.metrics), pictures)


def judge_training(training_metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Say in a word what became of a training, by the rule of :mod:`skin_pipeline.evaluation.verdict`.

    Args:
        training_metrics: The metrics of a training.

    Returns:
        ``verdict``, the figures behind it, what to do, the best step, and the rule.
    """
    validations = [row for row in training_metrics if row["kind"] == "validation"]
    verdict = verdicts.judge_training(validations)
    logger.info("Training: %s", verdict)
    return {
        "verdict": verdict.name,
        "because": verdict.because,
        "advice": verdict.advice,
        "best_step": verdict.best_step,
        "rule": verdicts.__doc__,
    }


def _copy(weights: Path, folder: Path) -> None:
    shutil.copytree(weights, folder, dirs_exist_ok=True)
