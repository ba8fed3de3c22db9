"""Folders that are published whole."""

from __future__ import annotations

import hashlib

import pytest
from kedro.io import DatasetError

from skin_pipeline.datasets import FolderDataset, folder_dataset
from skin_pipeline.errors import IncompleteDatasetError, StorageError
from skin_pipeline.items import FolderPlan


@pytest.fixture
def dataset(tmp_path):
    return FolderDataset(filepath=str(tmp_path / "models" / "controlnet"))


def plan(text="weights", key=None):
    def write(folder):
        (folder / "unet").mkdir()
        (folder / "unet" / "w.bin").write_text(text)
        (folder / "config.json").write_text("{}")

    return FolderPlan(write, key)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_published_folder_is_loaded_with_its_digests(dataset, tmp_path):
    assert not dataset.exists()
    dataset.save(plan())
    assert dataset.exists()
    folder = dataset.load()
    assert folder.path == tmp_path / "models" / "controlnet"
    assert folder.files == {
        "config.json": hashlib.sha256(b"{}").hexdigest(),
        "unet/w.bin": hashlib.sha256(b"weights").hexdigest(),
    }
    assert dataset.content_manifest() == folder.files
    assert "controlnet" in str(dataset)
    assert dataset.preview()["data"][0][:2] == ["config.json", 2]


def test_digest_depends_on_contents_only(dataset, tmp_path):
    dataset.save(plan())
    other = FolderDataset(filepath=str(tmp_path / "elsewhere"))
    other.save(plan(key="other"))
    assert other.load().digest == dataset.load().digest
    other.save(plan("other weights"))
    assert other.load().digest != dataset.load().digest


def test_the_run_that_made_the_contents_is_kept_beside_them_and_in_no_digest(dataset):
    def write(folder):
        (folder / "weights").write_text("1")

    dataset.save(FolderPlan(write))
    first = dataset.load()
    dataset.save(FolderPlan(write, source_run="run_1"))
    second = dataset.load()
    assert (first.source_run, second.source_run) == (None, "run_1")
    assert (second.digest, second.files) == (first.digest, first.files)


def test_unpublished_folder_says_so(dataset):
    with pytest.raises(DatasetError, match="not published yet") as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, IncompleteDatasetError)


def test_new_folder_replaces_the_old_one_and_leaves_nothing_beside(dataset, tmp_path):
    dataset.save(plan())
    dataset.save(FolderPlan(lambda folder: (folder / "only.txt").write_text("1") and None))
    assert names(tmp_path) == [
        "models/.controlnet.lock",
        "models/controlnet/_manifest.json",
        "models/controlnet/only.txt",
    ]


def test_failed_write_leaves_the_old_folder(dataset, tmp_path):
    dataset.save(plan())
    before = names(tmp_path)

    def fail(folder):
        (folder / "half").write_text("1")
        raise OSError(28, "No space left on device")

    with pytest.raises(DatasetError, match="is full") as caught:
        dataset.save(FolderPlan(fail))
    assert isinstance(caught.value.__cause__, StorageError)
    assert names(tmp_path) == before
    assert dataset.load().files["unet/w.bin"] == hashlib.sha256(b"weights").hexdigest()


def test_folder_made_from_the_same_is_left_as_it_is(dataset):
    dataset.save(plan(key="k1"))
    dataset.save(plan("never written", key="k1"))
    assert dataset.load().files["unet/w.bin"] == hashlib.sha256(b"weights").hexdigest()
    dataset.save(plan("new", key="k2"))
    assert dataset.load().files["unet/w.bin"] == hashlib.sha256(b"new").hexdigest()


def test_harmed_folder_is_refused_and_written_anew(dataset):
    dataset.save(plan(key="k1"))
    (dataset._filepath / "config.json").unlink()
    with pytest.raises(DatasetError, match=r"config.json is missing"):
        dataset.load()
    dataset.save(plan(key="k1"))
    assert set(dataset.load().files) == {"config.json", "unet/w.bin"}


def test_somebody_elses_folder_is_not_replaced(dataset):
    dataset._filepath.mkdir(parents=True)
    (dataset._filepath / "mine.safetensors").write_text("1")
    with pytest.raises(DatasetError, match=r"in the way.*Move it"):
        dataset.save(plan())
    assert names(dataset._filepath) == ["mine.safetensors"]


def test_kill_between_the_renames_is_mended_by_the_next_save(dataset, tmp_path, monkeypatch):
    dataset.save(plan())

    with monkeypatch.context() as patch:
        patch.setattr(folder_dataset.Path, "rename", stop_second_rename())
        with pytest.raises(KeyboardInterrupt):
            dataset.save(plan("new"))
    assert not dataset.exists()
    dataset.save(plan("new"))
    assert names(tmp_path / "models") == [
        ".controlnet.lock",
        "controlnet/_manifest.json",
        "controlnet/config.json",
        "controlnet/unet/w.bin",
    ]


def test_kill_between_the_renames_does_not_cost_the_old_folder(dataset, tmp_path, monkeypatch):
    dataset.save(plan(key="k1"))
    with monkeypatch.context() as patch:
        patch.setattr(folder_dataset.Path, "rename", stop_second_rename())
        with pytest.raises(KeyboardInterrupt):
            dataset.save(plan("new", key="k2"))
    dataset.save(plan("never written", key="k1"))
    assert dataset.load().files["unet/w.bin"] == hashlib.sha256(b"weights").hexdigest()
    assert not list((tmp_path / "models").glob(".controlnet.old"))


def test_kill_while_the_old_folder_is_removed_leaves_nothing_in_the_end(dataset, tmp_path, monkeypatch):
    dataset.save(plan(key="k1"))
    with monkeypatch.context() as patch:
        patch.setattr(folder_dataset.shutil, "rmtree", stop_at_the_old_folder)
        with pytest.raises(KeyboardInterrupt):
            dataset.save(plan("new", key="k2"))
    assert dataset.load().files["unet/w.bin"] == hashlib.sha256(b"new").hexdigest()
    dataset.save(plan("never written", key="k2"))  # nothing to publish, but something to tidy up
    assert not list((tmp_path / "models").glob(".controlnet.old"))


def stop_at_the_old_folder(path, **_):
    if path.name.endswith(".old") and path.exists():
        raise KeyboardInterrupt


def stop_second_rename():
    rename, num_renames = folder_dataset.Path.rename, 0

    def stop(path, target):
        nonlocal num_renames
        num_renames += 1
        if num_renames == 2:
            raise KeyboardInterrupt
        return rename(path, target)

    return stop
