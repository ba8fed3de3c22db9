"""The README's commands with an SD3 base model: nothing but the base model's folder says so."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tiny_models import save_tiny_sd3

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]
PROJECT = Path(__file__).parents[2]


def configure(conf: Path, file: str, **values: Any) -> None:
    """Add to a file of the environment ``test``."""
    path = conf / "test" / file
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, changes in values.items():
        content[name].update(changes)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def kedro_run(conf: Path, data: Path, pipeline: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "SKIN_PIPELINE_DATA": str(data),
        "SKIN_PIPELINE_MLFLOW": f"sqlite:///{data}/mlflow.db",
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "kedro", "run", f"--conf-source={conf}", "--env=test"]
    return subprocess.run(
        [*command, f"--pipeline={pipeline}"],
        cwd=PROJECT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """The project's configuration, with a tiny SD3 as base model and its samplers and weightings."""
    base, conf = str(save_tiny_sd3(tmp_path / "sd3")), tmp_path / "conf"
    shutil.copytree(PROJECT / "conf", conf, ignore=shutil.ignore_patterns("local"))
    (conf / "local").mkdir()
    train = {"model_base": base, "controlnet_init": None, "loss_weighting": "none", "learning_rate": 1e-3}
    configure(
        conf, "parameters_train.yml", train={**train, "timestep_density": "logit_normal", "fast_start": True}
    )
    configure(conf, "parameters_inference.yml", inference={"base_model": base, "scheduler": "euler"})
    return conf


def test_from_drawn_skins_to_generated_ones(conf: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for pipeline in ("demo_data", "data_prep", "train", "inference"):
        done = kedro_run(conf, data, pipeline)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    config = json.loads((data / "06_models/controlnet/config.json").read_text(encoding="utf-8"))
    assert config["_class_name"] == "SD3ControlNetModel"
    assert len(list((data / "07_model_output/generated_skins").rglob("*.png"))) == 2
    assert list((data / "06_models/runs").rglob("pictures/step_00000004.png"))

    configure(conf, "parameters_inference.yml", inference={"base_model": "embedded"})
    done = kedro_run(conf, data, "inference")
    assert done.returncode != 0
    assert "is of class SD3ControlNetModel, a ControlNet for sd3" in " ".join(
        (done.stdout + done.stderr).split()
    )
