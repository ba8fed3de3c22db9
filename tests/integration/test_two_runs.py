"""Two runs on one data folder, as two real commands."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skin_pipeline.datasets import ItemsDataset

PROJECT = Path(__file__).parents[2]
DRAW = ("--pipeline=demo_data", "--env=test", "--params", "demo_data.num_skins=4000,demo_data.num_workers=2")


def start(data: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the command as a user does."""
    environment = {**os.environ, "SKIN_PIPELINE_DATA": str(data), "COLUMNS": "500"}
    command = [sys.executable, "-m", "kedro", "run", *arguments]
    return subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_pictures(folder: Path, process: subprocess.Popen[str], seconds: float = 300) -> None:
    """Wait until a run stores what it makes."""
    deadline = time.monotonic() + seconds
    while not list(folder.glob("*.png")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def first(tmp_path: Path):
    """A run that would take very long, and is at work."""
    process = start(tmp_path, *DRAW)
    wait_for_pictures(tmp_path / "01_raw/demo", process)
    yield process
    process.kill()
    process.communicate()


def test_the_second_run_is_refused_and_a_kill_leaves_no_lock(tmp_path: Path, first) -> None:
    second = start(tmp_path, "--pipeline=data_prep", "--env=test")
    said, _ = second.communicate()
    assert second.returncode != 0
    assert f"{tmp_path} is in use by another run (pipeline demo_data, process {first.pid} on" in said
    assert "Wait for it to end, or stop it" in said
    assert "Traceback" not in said
    assert not (tmp_path / "02_intermediate" / "screened_skins").exists()
    # Looking is allowed meanwhile: a complete dataset loads, whoever works beside it.
    assert not ItemsDataset(filepath=str(tmp_path / "03_primary/captions")).exists()
    first.send_signal(signal.SIGKILL)
    first.wait()
    # Its worker processes may live a moment longer; they do not hold the lock.
    with (tmp_path / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
