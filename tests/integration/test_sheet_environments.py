"""From packages to a trained ControlNet to installable skins, with users' commands, on few steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

from skin_pipeline.datasets import FolderDataset, ItemsDataset
from skin_pipeline.skins.legibility import measure_legends
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.rendering import render_keyboard
from skin_pipeline.skins.validators import validate_package

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's own
]

PROJECT = Path(__file__).parents[2]
FORMATS = {
    "baidu_packages": ".bds",
    "hamster_packages": ".cskin",
    "trime_packages": ".zip",
    "fcitx_packages": ".zip",
}
READ_BACK = ("baidu_packages", "hamster_packages")
"""Formats that this project reads, too."""
NUM_PACKAGES = 5
FEW_STEPS = {
    "sheets.size_px": 256,
    "resize.size_px": 256,
    "dataset.validation_share": 0.4,
    "train.resolution_px": 256,
    "train.crop_px": 128,
    "train.train_batch_size": 2,
    "train.max_train_steps": 2,
    "train.lr_warmup_steps": 0,
    "train.checkpointing_steps": 2,
    "train.validation_steps": 2,
    "train.num_validation_samples": 1,
    "train.num_validation_pictures": 0,
    "inference.num_conditioning": 2,
    "inference.seeds": "[0]",
    "inference.num_inference_steps": 2,
}


def kedro_run(workspace: Path, environment: str, *arguments: str) -> None:
    """Run kedro as a user does, with packages, data and MLflow in a workspace."""
    variables = {
        **os.environ,
        "SKIN_PIPELINE_DATA": str(workspace / environment),
        "SKIN_PIPELINE_PACKAGES": str(workspace / "packages"),
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "kedro", "run", f"--env={environment}", *arguments]
    done = subprocess.run(command, cwd=PROJECT, env=variables, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few drawn packages."""
    folder = tmp_path_factory.mktemp("sheets")
    drawn = f"--params=demo_packages.num_packages={NUM_PACKAGES}"
    kedro_run(folder, "four_parts", "--pipeline=demo_packages", drawn)
    return folder


@pytest.fixture(scope="module", params=["four_parts", "key_elements"])
def data(request: pytest.FixtureRequest, workspace: Path) -> Path:
    """The data folder of an environment, once all has run."""
    few = ",".join(f"{name}={value}" for name, value in FEW_STEPS.items())
    kedro_run(workspace, request.param, f"--params={few}")
    return workspace / request.param


def items(data: Path, dataset: str, suffix: str):
    return ItemsDataset(filepath=str(data / "07_model_output" / dataset), suffix=suffix).load()


def test_every_generated_skin_has_every_package_and_they_are_valid(data: Path) -> None:
    generated = items(data, "generated_skins", ".png")
    assert len(generated) == 2
    for dataset, suffix in FORMATS.items():
        packages = items(data, dataset, suffix)
        assert list(packages) == list(generated), packages.rejected
        assert [validate_package(package.path) for package in packages.values()] == [[], []]


def test_packages_read_back_show_keyboards_with_legends_that_can_be_read(data: Path) -> None:
    for dataset in READ_BACK:
        for package in items(data, dataset, FORMATS[dataset]).values():
            boards = read_skin(package.path).theme().keyboards
            assert {"pinyin_26", "pinyin_9", "english_26"} <= {board.kind for board in boards}
            for board in boards:
                if board.orientation == "landscape":  # a format's stretched copy of the upright one
                    continue
                drawn = render_keyboard(board, 360)
                assert np.ptp(drawn[..., :3], axis=(0, 1)).max() > 40, "hardly anything is shown"
                assert drawn[..., 3].mean() > 250
                assert [found for found in measure_legends(board) if not found.is_legible] == []


def test_the_page_of_skins_leads_to_all_of_them(data: Path) -> None:
    page = (data / "08_reporting/skins.html").read_text(encoding="utf-8")
    for dataset, suffix in {**FORMATS, "trial_pages": ".html"}.items():
        for name, item in items(data, dataset, suffix).items():
            assert f"../07_model_output/{dataset}/{name}{suffix}" in page
            assert item.path.stat().st_size > 10_000


def test_packages_name_the_run_that_trained_their_weights(data: Path) -> None:
    weights = FolderDataset(filepath=str(data / "06_models/controlnet")).load()
    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow.db")
    assert "validation_loss" in client.get_run(weights.source_run).data.metrics
    for name, package in items(data, "baidu_packages", ".bds").items():
        expected = {"run_id": weights.source_run, "weights_sha256": weights.digest, "item": name}
        assert expected.items() <= dict(package.record["provenance"]).items()


def test_sheets_of_all_packages_are_in_the_training_set(data: Path) -> None:
    rows = [
        json.loads(line)["skin"]
        for split in ("train", "validation")
        for line in (data / f"05_model_input/train_dataset/{split}.jsonl").read_text().splitlines()
    ]
    assert sorted(rows) == [f"sheets/demo/skin_{number:04}" for number in range(NUM_PACKAGES)]
