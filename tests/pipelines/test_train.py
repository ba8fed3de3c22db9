import json
from pathlib import Path
from typing import get_type_hints

import pytest

from skin_pipeline.items import Folder, FolderPlan
from skin_pipeline.pipelines.train import create_pipeline
from skin_pipeline.pipelines.train.nodes import train_controlnet
from skin_pipeline.training.config import TrainParameters
from tests.tiny_models import save_tiny_pipeline, save_training_set


def test_one_node_from_training_set_to_weights_and_metrics() -> None:
    pipeline = create_pipeline()
    assert [node.name for node in pipeline.nodes] == ["train_controlnet"]
    assert pipeline.inputs() == {"train_dataset", "params:train"}
    assert pipeline.outputs() == {"controlnet_weights", "training_metrics"}


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
        num_validation_pictures=0,
        run_folder=str(tmp_path / "runs"),
        cache_folder=str(tmp_path / "cache"),
    )
    plan, metrics = train_controlnet(Folder(data, "digest", {}), parameters)
    assert isinstance(plan, FolderPlan)
    (tmp_path / "weights").mkdir()
    plan.write(tmp_path / "weights")
    assert json.loads((tmp_path / "weights" / "training.json").read_text())["dataset"]["digest"] == "digest"
    assert [row["step"] for row in metrics if row["kind"] == "train"] == [1, 2]
    assert [row["step"] for row in metrics if row["kind"] == "validation"] == [0, 2]
    again = train_controlnet(Folder(data, "digest", {}), parameters)[1]
    assert again == metrics
