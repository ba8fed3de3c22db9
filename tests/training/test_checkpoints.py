import os
from pathlib import Path

import pytest

from skin_pipeline.errors import ConfigurationError, StorageError
from skin_pipeline.training.checkpoints import Checkpoints, check_identity, is_complete, publish_weights


def _save(checkpoints: Checkpoints, step: int, content: str = "x" * 100) -> Path:
    def save_state(folder: Path) -> None:
        (folder / "optimizer.bin").write_text(content)

    def save_weights(folder: Path) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_text(content)

    return checkpoints.save(step, {"step": step}, save_state, save_weights, True, lambda: None)


def test_keeps_the_newest(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, total_limit=2)
    for step in (5, 10, 15):
        _save(checkpoints, step)
    assert [path.name for path in checkpoints.complete()] == ["step_00000010", "step_00000015"]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step_00000010",
        "step_00000015",
    ]


def test_keeps_all_without_a_limit(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, total_limit=None)
    for step in range(4):
        _save(checkpoints, step)
    assert len(checkpoints.complete()) == 4


@pytest.mark.parametrize("damage", ["no mark", "cut file", "missing file", "cut mark"])
def test_a_torn_checkpoint_does_not_exist(tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path, total_limit=3)
    whole, torn = _save(checkpoints, 5), _save(checkpoints, 10)
    match damage:
        case "no mark":
            (torn / "COMPLETE").unlink()
        case "cut file":
            os.truncate(torn / "state" / "optimizer.bin", 50)
        case "missing file":
            (torn / "weights" / "model.safetensors").unlink()
        case "cut mark":
            os.truncate(torn / "COMPLETE", 10)
    assert not is_complete(torn)
    assert checkpoints.latest() == whole
    assert is_complete(_save(checkpoints, 10))


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, total_limit=1)
    kept = _save(checkpoints, 5)

    def save_state(folder: Path) -> None:
        (folder / "optimizer.bin").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(
        StorageError,
        match=r"step 10 could not be written.*No space left.*Last complete checkpoint: step_00000005",
    ):
        checkpoints.save(10, {}, save_state, lambda _: None, True, lambda: None)
    assert checkpoints.latest() == kept
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [kept.name]


def test_weights_are_published_whole(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, total_limit=2)
    publish_weights(_save(checkpoints, 5, "old"), tmp_path)
    final = publish_weights(_save(checkpoints, 10, "new"), tmp_path)
    assert (final / "model.safetensors").read_text() == "new"
    assert '"step": 10' in (final / "training.json").read_text()
    assert not list(tmp_path.glob(".weights*"))


def test_a_run_that_is_another_is_refused_with_the_difference(tmp_path: Path) -> None:
    begun = {"parameters": {"learning_rate": 1e-3, "channels": (8, 8)}, "dataset": "aa"}
    check_identity(tmp_path, begun)
    check_identity(tmp_path, begun)
    changed = {"parameters": {"learning_rate": 2e-3, "channels": (8, 8)}, "dataset": "bb"}
    with pytest.raises(
        ConfigurationError, match=r"dataset: 'aa' -> 'bb'; parameters.learning_rate: 0.001 -> 0.002"
    ):
        check_identity(tmp_path, changed)
