from pathlib import Path

import pytest
from pydantic import ValidationError

from skin_pipeline.errors import ConfigurationError, MissingWeightsError
from skin_pipeline.training.config import TrainingRun, TrainParameters, load_run, run_name, save_run


@pytest.mark.parametrize("resolution_px", [513, 260, 1001])
def test_resolution_is_a_multiple_of_8(resolution_px: int) -> None:
    with pytest.raises(ValidationError, match=f"must be a multiple of 8 .*got {resolution_px}"):
        TrainParameters(resolution_px=resolution_px)


def test_accumulation_divides_the_batch() -> None:
    with pytest.raises(ValidationError, match=r"train_batch_size \(8\) must be divisible by .*\(3\)"):
        TrainParameters(train_batch_size=8, gradient_accumulation_steps=3)


def test_fast_start_is_for_new_controlnets() -> None:
    with pytest.raises(ValidationError, match="Set one of them only"):
        TrainParameters(fast_start=True, controlnet_init="embedded-canny")


@pytest.mark.parametrize(
    ("settings", "is_fast"),
    [
        ({}, True),
        ({"controlnet_init": "embedded-canny"}, False),
        ({"model_base": "stabilityai/stable-diffusion-xl-base-1.0"}, False),
        ({"model_base": "a/b", "fast_start": True}, True),
        ({"fast_start": False}, False),
    ],
)
def test_auto_fast_start_is_for_the_embedded_base(settings: dict[str, object], is_fast: bool) -> None:
    assert TrainParameters(**settings).is_fast_start is is_fast


@pytest.mark.parametrize("name", ["", "../other", "a/b", ".hidden"])
def test_run_name_is_one_folder(name: str) -> None:
    with pytest.raises(ValidationError, match="one plain folder name"):
        TrainParameters(run_name=name)


def test_unknown_parameters_are_errors() -> None:
    with pytest.raises(ValidationError, match="learning_rat"):
        TrainParameters(learning_rat=1e-4)


def test_runs_are_told_apart_by_what_decides_their_weights() -> None:
    base = TrainParameters()
    assert run_name(base, "data") == run_name(base.model_copy(update={"validation_steps": 7}), "data")
    assert run_name(base, "data") != run_name(base.model_copy(update={"learning_rate": 2e-3}), "data")
    assert run_name(base, "data") != run_name(base, "other data")
    assert run_name(base.model_copy(update={"run_name": "mine"}), "data") == "mine"


def test_only_a_constant_learning_rate_can_be_prolonged() -> None:
    constant = TrainParameters(lr_scheduler="constant", max_train_steps=100)
    longer = constant.model_copy(update={"max_train_steps": 200})
    assert constant.identity() == longer.identity()
    linear = TrainParameters(lr_scheduler="linear", max_train_steps=100)
    assert linear.identity() != linear.model_copy(update={"max_train_steps": 200}).identity()


def test_preflight_names_missing_weights() -> None:
    with pytest.raises(MissingWeightsError, match=r"train\.model_base is 'no_such_folder'"):
        TrainParameters(model_base="no_such_folder").preflight()


def test_the_trainers_file_survives(tmp_path: Path) -> None:
    run = TrainingRun(
        parameters=TrainParameters(learning_rate=3e-4, conditioning_embedding_out_channels=(8, 8, 16, 16)),
        dataset_folder=tmp_path / "data",
        dataset_digest="abc",
        folder=tmp_path / "run",
        cache_folder=tmp_path / "cache",
        num_processes=2,
        attempt="1",
    )
    save_run(run, tmp_path / "config.json")
    assert load_run(tmp_path / "config.json") == run


@pytest.mark.parametrize("content", [None, "{", '{"parameters": {}}'])
def test_a_bad_trainers_file_is_explained(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"cannot use .*config\.json"):
        load_run(path)
