"""The README's commands, run for real on tiny sizes: drawn skins in, generated skins and a gallery out."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
PROJECT = Path(__file__).parents[2]
VERSIONED = {
    "raw_skins", "screened_skins", "resized_skins", "edge_maps", "captions", "text_boxes", "glyph_maps",
    "selected_skins", "train_dataset", "data_quality", "rejected_skins", "controlnet_weights",
    "training_metrics", "training_verdict", "control_images", "generated_skins", "gallery", "sheet_records",
    "baidu_packages", "hamster_packages", "trime_packages", "fcitx_packages", "trial_pages", "skins_page",
}  # fmt: skip


def kedro_run(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run kedro as a user does, with data and MLflow in ``data``."""
    environment = {**os.environ, "SKIN_PIPELINE_DATA": str(data), "COLUMNS": "200"}
    command = [sys.executable, "-m", "kedro", "run", "--env=test", *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environment, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    data = tmp_path_factory.mktemp("demo")
    done = kedro_run(data, "--pipeline=demo")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return data, done.stdout


def runs_of(data: Path) -> list[mlflow.entities.Run]:
    """Return the MLflow runs, oldest first."""
    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow.db")
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(ids, order_by=["attributes.start_time ASC"]))


def digests(run: mlflow.entities.Run) -> dict[str, str]:
    return {
        name.removeprefix("digest."): value
        for name, value in run.data.tags.items()
        if name.startswith("digest.")
    }


def test_demo_goes_from_drawn_skins_to_a_gallery(demo: tuple[Path, str]) -> None:
    data, _ = demo
    assert len(list((data / "01_raw/demo").glob("*.png"))) == 6
    rows = [
        json.loads(line)
        for split in ("train", "validation")
        for line in (data / f"05_model_input/train_dataset/{split}.jsonl").read_text().splitlines()
    ]
    assert len(rows) == 6
    assert all(row["text"].startswith("a keyboard skin of") for row in rows)
    assert (data / "06_models/controlnet/diffusion_pytorch_model.safetensors").stat().st_size > 1_000_000
    pictures = list((data / "07_model_output/generated_skins").rglob("*.png"))
    assert len(pictures) == 2
    page = (data / "08_reporting/gallery.html").read_text(encoding="utf-8")
    assert page.count("data:image/") >= 2 * len(pictures)
    assert not [path for path in data.rglob("*") if path.name.endswith((".tmp", ".partial"))]


def test_every_dataset_of_the_run_is_versioned(demo: tuple[Path, str]) -> None:
    data, _ = demo
    run = runs_of(data)[0]
    assert run.info.status == "FINISHED"
    assert digests(run).keys() == VERSIONED
    assert "validation_loss" in run.data.metrics
    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow.db")
    (version,) = client.search_model_versions("name='controlnet'")
    assert version.run_id == run.info.run_id


def test_same_command_again_makes_nothing_and_has_the_same_digests(demo: tuple[Path, str]) -> None:
    data, _ = demo
    again = kedro_run(data, "--pipeline=demo")
    assert again.returncode == 0, again.stderr[-3000:]
    counts = [line for line in again.stdout.splitlines() if " items, " in line]
    assert len(counts) == 16
    assert all(" 0 made" in line for line in counts), counts
    first, second = runs_of(data)[:2]
    assert digests(second) == digests(first)


def test_failed_run_says_what_to_do_and_is_marked_so(tmp_path: Path) -> None:
    (tmp_path / "01_raw").mkdir()
    failed = kedro_run(tmp_path, "--pipeline=data_prep")
    assert failed.returncode != 0
    assert "holds no pictures" in failed.stdout + failed.stderr
    assert "Traceback" not in failed.stdout + failed.stderr
    assert [run.info.status for run in runs_of(tmp_path)] == ["FAILED"]


@pytest.mark.slow
def test_a_package_leads_back_and_a_raw_skin_forth(demo: tuple[Path, str], tmp_path: Path) -> None:
    data, _ = demo

    def lineage(thing: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "kedro", "lineage", "--env=test", "--json", thing]
        environment = {**os.environ, "SKIN_PIPELINE_DATA": str(data)}
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, check=True, capture_output=True, text=True
        )
        return json.loads(done.stdout)

    moved = tmp_path / "renamed.zip"
    package = next((data / "07_model_output/hamster_packages").rglob("*.cskin"))
    shutil.copy(package, moved)
    origin = lineage(str(moved))
    assert (origin["weights"]["step"], origin["dataset"]["is_current"]) == (4, True)
    assert origin["weights"]["run"]["id"] == origin["picture"]["run"]["id"] == runs_of(data)[0].info.run_id
    assert len(origin["dataset"]["raw_skins"]) == 6
    assert origin["gaps"] == []
    first = next(skin for skin in origin["dataset"]["raw_skins"] if skin["split"] == "train")
    use = lineage(first["skin"])
    assert use["sha256"] == first["sha256"]
    assert [training["split"] for training in use["trainings"]] == ["train"]
    assert str(package) in use["trainings"][0]["packages"]["hamster_packages"]


@pytest.mark.slow
def test_an_evaluated_run_has_its_report_in_mlflow(demo: tuple[Path, str]) -> None:
    data, _ = demo
    for pipeline in ("evaluate", "report"):
        done = kedro_run(data, f"--pipeline={pipeline}")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    run = runs_of(data)[-1]
    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow.db")
    kept = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    assert {"run_report", "training_curves", "score_intervals"} <= kept
    assert (data / "08_reporting/report.html").stat().st_size < 10 * 2**20
