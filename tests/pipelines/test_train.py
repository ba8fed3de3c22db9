import json
from pathlib import Path
from typing import get_type_hints

import pytest

from skin_pipeline.evaluation.parameters import EvaluationParameters
from skin_pipeline.items import Folder, FolderPlan
from skin_pipeline.pipelines.train import create_pipeline
from skin_pipeline.pipelines.train.nodes import judge_training, train_controlnet
from skin_pipeline.prep.edges import EdgeParameters
from skin_pipeline.training.config import TrainParameters
from tests.tiny_models import save_tiny_pipeline, save_training_set


def test_from_training_set_to_weights_metrics_and_a_verdict() -> None:
    pipeline = create_pipeline()
    assert [node.name for node in pipeline.nodes] == ["train_controlnet", "judge_training"]
    assert pipeline.inputs() == {"train_dataset", "params:train", "params:edges", "params:evaluation"}
    assert pipeline.all_outputs() == {"controlnet_weights", "training_metrics", "training_verdict"}


def test_parameters_are_validated_by_kedro_through_the_type_hint() -> None:
    assert get_type_hints(train_controlnet)["parameters"] is TrainParameters


@pytest.mark.slow
def test_the_node_trains(tmp_path: Path) -> None:
    data = save_training_set(tmp_path / "data")
    parameters = TrainParameters(
        model_base=str(save_tiny_pipeline(tmp_path / "base")),
        conditioning_embedding_out_channels=(8, 8, 8, 16),
        resolution_px=64,
        train_batch_size=2,
        max_train_steps=2,
        log_steps=1,
        num_validation_samples=2,
        num_validation_pictures=2,
        validation_inference_steps=2,
        validation_steps=1,
        run_folder=str(tmp_path / "runs"),
        cache_folder=str(tmp_path / "cache"),
    )
    judging = EdgeParameters(), EvaluationParameters(readers=())
    plan, metrics = train_controlnet(Folder(data, "digest", {}), parameters, *judging)
    assert isinstance(plan, FolderPlan)
    (tmp_path / "weights").mkdir()
    plan.write(tmp_path / "weights")
    assert json.loads((tmp_path / "weights" / "training.json").read_text())["dataset"]["digest"] == "digest"
    assert [row["step"] for row in metrics if row["kind"] == "train"] == [1, 2]
    validations = [row for row in metrics if row["kind"] == "validation"]
    assert [row["step"] for row in validations] == [0, 1, 2]
    assert all(0 <= row["drawn_edge_f1"] <= 1 and row["learnt_loss"] > 0 for row in validations)
    kept = next((tmp_path / "runs").glob("*/pictures/drawn_scores.json"))
    assert sorted(json.loads(kept.read_text())["scores"]) == [f"step_{step:08d}.png" for step in range(3)]
    written = kept.stat().st_mtime_ns
    again = train_controlnet(Folder(data, "digest", {}), parameters, *judging)[1]
    assert again == metrics
    assert kept.stat().st_mtime_ns == written  # nothing was judged anew
    verdict = judge_training(metrics)
    assert verdict["verdict"] in {"still improving", "flat", "overfitting", "getting worse", "losing control"}
    assert all(row["drawn_nearest_distance"] > 0 and row["drawn_copied"] == 0 for row in validations)
    assert "1. More than half" in verdict["rule"]
