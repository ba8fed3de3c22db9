"""The limit on the cache: the oldest encodings go, those of runs under way stay."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from skin_pipeline.training import loop
from skin_pipeline.training.eviction import evict, in_use
from tests.tiny_models import save_training_set
from tests.training.conftest import MakeRun, train_here

KIB = 1 / 2**20
"""A KiB in GiB."""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Five encodings of a KiB each, the first used longest ago."""
    paths = [tmp_path / "1" / "images" / f"{name}.safetensors" for name in "edcba"]
    paths[0].parent.mkdir(parents=True)
    for age, path in enumerate(reversed(paths)):
        path.write_bytes(bytes(1024))
        os.utime(path, (10**9 - age, 10**9 - age))
    return paths


def left(files: list[Path]) -> str:
    return "".join(path.stem for path in files if path.is_file())


def test_the_oldest_go_first(files: list[Path], tmp_path: Path) -> None:
    assert evict(tmp_path, 5 * KIB) == 0
    assert evict(tmp_path, 2.5 * KIB) == 3
    assert left(files) == "ba"


def test_what_a_run_uses_stays_and_becomes_young(files: list[Path], tmp_path: Path) -> None:
    with in_use(tmp_path, [files[0], tmp_path / "1" / "images" / "not_yet.safetensors"]):
        assert evict(tmp_path, 2 * KIB) == 3
        assert left(files) == "ea"
    assert evict(tmp_path, KIB) == 1
    assert left(files) == "e"  # used after "a"


def test_more_in_use_than_the_limit_stays(
    files: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with in_use(tmp_path, files[:2]), in_use(tmp_path, files[1:4]), caplog.at_level(logging.WARNING):
        assert evict(tmp_path, KIB) == 1
    assert left(files) == "edcb"
    assert "more than train.cache_limit_gib" in caplog.text


def test_a_killed_run_keeps_nothing(files: list[Path], tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from skin_pipeline.training.eviction import in_use\n"
        "with in_use(Path(sys.argv[1]), [Path(sys.argv[2])]): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path, files[0]], check=False)
    (lease,) = (tmp_path / ".leases").iterdir()
    assert evict(tmp_path, 0.5 * KIB) == 5
    assert not lease.exists()


def test_a_run_under_way_keeps_its_encodings(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run, with a limit of next to nothing, begins while one trains."""
    other = make_run("other", dataset=save_training_set(tmp_path / "data", 2, 1, 72), max_train_steps=1)
    train_here(other)
    before = set((tmp_path / "encodings").rglob("*.safetensors"))
    step = loop._Training.step
    removed = []

    def step_beside_another(self: Any, number: int, *args: Any) -> Any:
        removed.append(evict(tmp_path / "encodings", 1e-9))
        return step(self, number, *args)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "step", step_beside_another)
        assert train_here(make_run(max_train_steps=2, cache_limit_gib=1.0))
    assert removed[1:] == [0]
    assert 0 < removed[0] < len(before)  # captions are shared, pictures are not
