"""The whole way from raw skins to generated ones by both engines, with the commands that users give."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="pip install 'skin_pipeline[ray]'")
pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
WORKERS = ",".join(f"{stage}.num_workers=2" for stage in ("screen", "resize", "edges", "captions", "glyphs"))


def kedro_run(data: Path, engine: str, *arguments: str) -> str:
    environment = {
        **os.environ,
        "SKIN_PIPELINE_DATA": str(data),
        "SKIN_PIPELINE_ENGINE": engine,
        "RAY_ADDRESS": "local",
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "kedro", "run", "--env=test", *arguments]
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, check=False, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def files(data: Path) -> dict[str, bytes]:
    """Return the content of everything that runs leave, but for locks, what MLflow keeps, and file times."""
    return {
        path.relative_to(data).as_posix(): path.read_bytes()
        for layer in sorted(data.glob("0*"))
        for path in sorted(layer.rglob("*"))
        if path.is_file()
        and not path.name.endswith(".lock")
        and path.name not in {".raw_digests.jsonl", ".summary.json"}
    }


def test_both_engines_leave_the_same_bytes(tmp_path: Path) -> None:
    local, cluster = tmp_path / "local", tmp_path / "cluster"
    kedro_run(local, "local", "--pipeline=demo", "--params=demo_data.num_skins=30")
    for layer in ("01_raw", "06_models"):
        shutil.copytree(local / layer, cluster / layer)
    said = kedro_run(cluster, "ray", "--pipeline=data_prep", f"--params={WORKERS}")
    assert said.count(" workers on Ray (1 node, ") >= 5
    kedro_run(cluster, "ray", "--pipeline=demo_data", "--params=demo_data.num_skins=30")
    said = kedro_run(cluster, "ray", "--pipeline=inference")
    assert "inference: 1 worker on Ray (1 node, " in said
    said = kedro_run(cluster, "ray", "--pipeline=export_skins")
    assert said.count(": 1 worker on Ray (1 node, ") >= 5
    expected, found = files(local), files(cluster)
    of_training = ("05_model_input/encodings", "08_reporting/training_")
    assert found.keys() == {name for name in expected if not name.startswith(of_training)}
    assert [name for name in found if found[name] != expected[name]] == []
    assert len([name for name in found if name.endswith(".png")]) > 3 * 30
