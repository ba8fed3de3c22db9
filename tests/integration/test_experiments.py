"""Every experiment of conf/ runs to its end by its own command, and the comparison takes them in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
FEW = (
    "train.max_train_steps=2,train.checkpointing_steps=2,train.validation_steps=2,train.lr_warmup_steps=0,"
    "train.num_validation_samples=2,train.num_validation_pictures=1,train.validation_inference_steps=2,"
    "train.train_batch_size=2,train.crop_px=128,inference.num_inference_steps=2,inference.seeds=[0],"
    "inference.num_conditioning=1,inference.num_threads=1,packages.max_skins=1"
)
PACKAGES = ("four_parts_shared", "four_parts_canny", "four_parts_glyph_1024", "four_parts_canny_glyph_1024",
            "key_elements_512", "key_elements_1024", "text_loss")  # fmt: skip

pytestmark = pytest.mark.slow


def kedro_run(workspace: Path, *arguments: str) -> str:
    """Run kedro as a user does, with data, packages and MLflow in the workspace."""
    places = {
        "SKIN_PIPELINE_DATA": str(workspace),
        "SKIN_PIPELINE_MLFLOW": str(workspace),
        "SKIN_PIPELINE_PACKAGES": str(workspace.parent / "packages"),
    }
    command = [sys.executable, "-m", "kedro", "run", *arguments]
    environment = {**os.environ, **places, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a few drawn packages; experiments get a subfolder each."""
    folder = tmp_path_factory.mktemp("experiments")
    kedro_run(folder / "drawing", "--pipeline=demo_packages", "--params", "demo_packages.num_packages=5")
    return folder


def check_pictures(workspace: Path, resolution_px: int) -> None:
    card = json.loads((workspace / "06_models/controlnet/training.json").read_text())
    assert card["parameters"]["resolution_px"] == resolution_px
    pictures = list((workspace / "07_model_output/generated_skins").rglob("*.png"))
    assert pictures
    assert (workspace / "08_reporting/gallery.html").is_file()


@pytest.mark.parametrize("env", PACKAGES)
def test_an_experiment_on_packages_runs_to_its_end(root: Path, env: str) -> None:
    kedro_run(root / env, f"--env={env}", "--params", FEW)
    check_pictures(root / env, 1024 if env.endswith("1024") else 512)
    rows = (root / env / "05_model_input/train_dataset/train.jsonl").read_text().splitlines()
    images = {json.loads(row)["conditioning_image"] for row in rows}
    assert (len(images) > 1) == ("glyph" in env or env == "text_loss")
    assert list((root / env / "07_model_output/baidu_packages").rglob("*.bds"))


def test_the_text_loss_has_legends_to_read(root: Path) -> None:
    """Layouts whose keys bear none would train without it, and nobody would notice."""
    if not (root / "text_loss").is_dir():  # this test was chosen alone
        kedro_run(root / "text_loss", "--env=text_loss", "--params", FEW)
    metrics = (root / "text_loss/08_reporting/training_metrics.jsonl").read_text().splitlines()
    steps = [row for row in map(json.loads, metrics) if row["kind"] == "train"]
    assert steps[-1]["loss_text"] > 0


def test_whole_keyboards_run_to_their_end(root: Path) -> None:
    few = f"{FEW},demo_data.num_skins=4"
    kedro_run(root / "whole_keyboard", "--env=whole_keyboard", "--pipeline=demo", "--params", few)
    check_pictures(root / "whole_keyboard", 512)


def test_circles_run_to_their_end(root: Path) -> None:
    few = f"{FEW},fill50k.num_pictures=40"
    kedro_run(root / "fill50k", "--env=fill50k", "--pipeline=fill50k", "--params", few)
    scores = json.loads((root / "fill50k/08_reporting/circle_scores.json").read_text())
    assert 0 <= scores["right"]["estimate"] <= 1
    assert scores["right"]["num_samples"] == 1


def test_finished_experiments_are_compared(root: Path) -> None:
    finished = [folder.name for folder in root.iterdir() if (folder / "06_models/controlnet").is_dir()]
    if not finished:  # this test was chosen alone
        kedro_run(root / "four_parts_shared", "--env=four_parts_shared", "--params", FEW)
        finished = ["four_parts_shared"]
    kedro_run(root, "--pipeline=compare")
    comparison = json.loads((root / "08_reporting/comparison.json").read_text())
    assert sorted(comparison) == sorted(finished)
    assert (root / "08_reporting/comparison.html").read_text().count("<img ") > 0
