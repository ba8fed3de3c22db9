import logging
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from skin_pipeline.errors import ConfigurationError, StorageError
from skin_pipeline.training.checkpoints import (
    Checkpoints,
    check_identity,
    check_shared,
    is_complete,
    publish_weights,
)


def _save(checkpoints: Checkpoints, step: int, content: str = "x" * 100) -> Path:
    def save_state(folder: Path) -> None:
        (folder / "optimizer.bin").write_text(content)

    def save_weights(folder: Path) -> None:
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


def test_what_is_incomplete_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path, total_limit=None)
    for step in (5, 10, 15):
        _save(checkpoints, step)
    folder = tmp_path / "checkpoints"
    (folder / "step_00000005" / "COMPLETE").unlink()
    os.truncate(folder / "step_00000010" / "state" / "optimizer.bin", 50)
    (folder / ".step_00000020.writing" / "state").mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        checkpoints.report_incomplete()
    assert [
        record.getMessage().partition(" is not complete and is left out: ") for record in caplog.records
    ] == [
        (f"Checkpoint '{name}'", " is not complete and is left out: ", f"{fault}.")
        for name, fault in [
            (".step_00000020.writing", "it has no mark, so it was being written or removed"),
            ("step_00000005", "it has no mark, so it was being written or removed"),
            ("step_00000010", "state/optimizer.bin has 50 bytes, 100 expected"),
        ]
    ]


def test_a_complete_checkpoint_is_not_written_again(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, total_limit=1)
    path = _save(checkpoints, 5, "first")
    assert _save(checkpoints, 5, "again") == path
    assert (path / "state" / "optimizer.bin").read_text() == "first"


@contextmanager
def _files_no_larger_than(num_bytes: int) -> Iterator[None]:
    """Have the system refuse to write beyond a size, as a full disk does in the middle of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda folder: torch.save(torch.zeros(10_000), folder / "optimizer.bin"), id="torch"),
        pytest.param(
            lambda folder: save_file({"w": torch.zeros(10_000)}, folder / "model.safetensors"),
            id="safetensors",
        ),
        pytest.param(lambda folder: (folder / "any").write_bytes(b"x" * 40_000), id="python"),
    ],
)
def test_a_write_that_fails_half_way_keeps_the_last_checkpoint(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path, total_limit=1)
    kept = _save(checkpoints, 5)
    with (
        _files_no_larger_than(20_000),
        pytest.raises(
            StorageError,
            match=r"step 10 could not be written: .+ Last complete checkpoint: step_00000005\. Free space in"
            r" .*MiB are free",
        ),
    ):
        checkpoints.save(10, {}, write, lambda _: None, True, lambda: None)
    assert checkpoints.latest() == kept
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [kept.name]


def test_weights_that_cannot_be_published_stay_in_the_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, total_limit=1)
    path = _save(checkpoints, 5, "x" * 40_000)
    with (
        _files_no_larger_than(20_000),
        pytest.raises(StorageError, match=r"'step_00000005' could not be copied .* until then they are in"),
    ):
        publish_weights(path, tmp_path)
    assert is_complete(path)
    assert not list(tmp_path.glob("*weights*"))


def test_a_file_of_both_parts_is_stored_once(tmp_path: Path) -> None:
    same, other = {"w": torch.ones(9)}, {"w": torch.zeros(9)}

    def save_state(folder: Path) -> None:
        save_file(same, folder / "model.safetensors")

    checkpoints = Checkpoints(tmp_path, total_limit=None)
    for step, weights in ((1, same), (2, other)):
        path = checkpoints.save(
            step,
            {},
            save_state,
            lambda folder, weights=weights: save_file(weights, folder / "weights.safetensors"),
            True,
            lambda: None,
        )
        state = path / "state" / "model.safetensors"
        assert (path / "weights" / "weights.safetensors").samefile(state) == (step == 1)
        assert is_complete(path)
    published = publish_weights(checkpoints.complete()[0], tmp_path)
    assert (published / "weights.safetensors").stat().st_nlink == 1


def test_the_record_lies_in_both_parts(tmp_path: Path) -> None:
    path = _save(Checkpoints(tmp_path, total_limit=None), 5)
    state, weights = (path / part / "training.json" for part in ("state", "weights"))
    assert state.read_bytes() == weights.read_bytes()
    assert '"step": 5' in state.read_text()


def test_a_machine_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"Process 8 does not see .*run.json.*shared disk"):
        check_shared(tmp_path, 8)
    check_identity(tmp_path, {"a": 1})
    check_shared(tmp_path, 8)


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
