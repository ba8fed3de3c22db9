"""data_prep on a full disk and on a read-only one: a clear message, nothing half, and no new start."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from kedro.io import DatasetError

from skin_pipeline.errors import StorageError
from skin_pipeline.hooks import mendable_error
from tests import preparing

NUM_SKINS = 12


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of its own, with raw skins on it."""
    preparing.use_stand_ins(monkeypatch)
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    for seed in range(NUM_SKINS):
        preparing.draw_picture(folder / "01_raw" / f"skin_{seed:02}.png", seed)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # tracebacks still hold open lists


@pytest.fixture
def remount(disk: Path) -> Callable[[str], None]:
    """Change the disk's options."""

    def change(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)

    return change


def message_of_failed_run(data: Path) -> str:
    """Run data_prep, which must fail; return what the user is told."""
    with pytest.raises(DatasetError) as caught:
        preparing.run_data_prep(data)
    error = mendable_error(caught.value)
    assert isinstance(error, StorageError)
    return str(error)


def check_all_pictures_decode(data: Path) -> None:
    pictures = [path for path in data.rglob("*.png") if not path.name.startswith(".")]
    assert len(pictures) >= NUM_SKINS
    for path in pictures:
        assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None, path


def num_published(data: Path) -> int:
    folder = data / "05_model_input" / "train_dataset"
    return sum(
        len((folder / f"{split}.jsonl").read_bytes().splitlines()) for split in ("train", "validation")
    )


@pytest.mark.parametrize("room_kib", [4, 40, 120, 260])
def test_a_full_disk_is_named_and_the_run_goes_on_later(disk: Path, room_kib: int) -> None:
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free
    ballast.write_bytes(bytes(free - room_kib * 1024))
    message = message_of_failed_run(disk)
    assert "is full" in message
    assert "Free some space and run the same command again" in message
    check_all_pictures_decode(disk)
    ballast.unlink()
    preparing.run_data_prep(disk)
    assert num_published(disk) == NUM_SKINS
    assert not [path for path in disk.rglob(".*") if path.name.endswith((".tmp", ".new", ".old"))]


def test_a_read_only_folder_is_named_and_the_run_goes_on_later(
    disk: Path, remount: Callable[[str], None]
) -> None:
    remount("ro")
    message = message_of_failed_run(disk)
    assert "cannot be written: Read-only file system" in message
    assert "Give this user write access, or put the data elsewhere" in message
    remount("rw")
    preparing.run_data_prep(disk)
    assert num_published(disk) == NUM_SKINS


def test_a_folder_of_raw_skins_may_be_read_only(
    disk: Path, remount: Callable[[str], None], tmp_path: Path
) -> None:
    remount("ro")
    data = tmp_path / "data"
    data.mkdir()
    (data / "01_raw").symlink_to(disk / "01_raw")
    preparing.run_data_prep(data)
    assert num_published(data) == NUM_SKINS
