"""The folder of pictures that users bring."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError
from PIL import Image

from skin_pipeline.datasets import RawSkinsDataset, raw_skins_dataset
from skin_pipeline.errors import IncompleteDatasetError, InputError
from skin_pipeline.items import Output, Plan, Task
from tests import workers


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "01_raw"
    folder.mkdir()
    return folder


@pytest.fixture
def dataset(folder, tmp_path):
    return RawSkinsDataset(filepath=str(folder), digest_cache=str(tmp_path / "cache" / ".digests.jsonl"))


def put(folder, **contents):
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def drawing(ids):
    def draw(tasks):
        return [Output({"seed": 1}, np.zeros((4, 6, 3), np.uint8)) for _ in tasks]

    return Plan.from_tasks("demo", tasks=map(Task, ids), make_worker=lambda: draw)


def test_every_file_is_an_item_whatever_it_holds(dataset, folder):
    put(folder, kb_png=b"1", sub__deep__x_jpg=b"2", page_html=b"<html>", empty_png=b"", noend=b"3")
    items = dataset.load()
    assert list(items) == ["empty", "kb", "noend", "page", "sub/deep/x"]
    item = items["sub/deep/x"]
    assert item.record == {"source": "sub/deep/x.jpg"}
    assert item.path == folder / "sub" / "deep" / "x.jpg"
    assert item.sha256 == hashlib.sha256(b"2").hexdigest()
    assert dataset.content_manifest()["page.html"] == hashlib.sha256(b"<html>").hexdigest()


def test_hidden_and_underscored_names_are_left_out(dataset, folder):
    for name in (".gitkeep", ".hidden/a.png", "_notes/a.png", "_manifest.jsonl"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"1")
    assert not dataset.exists()
    put(folder, a_png=b"1")
    assert dataset.exists()
    assert list(dataset.load()) == ["a"]


def test_files_with_one_stem_keep_their_suffix(dataset, folder):
    put(folder, a_png=b"1", a_jpg=b"2", b_png=b"3", a_png_webp=b"4")
    assert sorted(dataset.load()) == ["a.jpg", "a.png", "a.png.webp", "b"]


@pytest.mark.parametrize("made", [False, True])
def test_folder_without_pictures_says_what_to_do(dataset, folder, made):
    if made:
        (folder / ".gitkeep").touch()
    else:
        folder.rmdir()
    with pytest.raises(
        DatasetError, match=r"Put keyboard skins there.*kedro run --pipeline=demo_data"
    ) as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, InputError)


def test_links_are_followed_inside_the_folder_only(dataset, folder, tmp_path):
    put(folder, a_png=b"1")
    put(tmp_path, secret_png=b"secret")
    (tmp_path / "others").mkdir()
    for name, target in {
        "in.png": folder / "a.png",
        "out.png": tmp_path / "secret.png",
        "gone.png": folder / "nothing.png",
        "others": tmp_path / "others",
        "up": folder,
    }.items():
        (folder / name).symlink_to(target)
    items = dataset.load()
    assert items["in"].sha256 == items["a"].sha256
    problems = {item.id: item.record["problem"] for item in items.values() if item.path is None}
    assert set(problems) == {"out", "gone", "others", "up"}
    assert "leads out of the folder" in problems["out"]
    assert "does not exist" in problems["gone"]


def test_what_cannot_be_read_is_an_item_with_a_problem(dataset, folder, monkeypatch):
    put(folder, a_png=b"1")
    os.mkfifo(folder / "pipe.png")
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(b"2")

    def refuse(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(raw_skins_dataset.hashlib, "file_digest", refuse)
    problems = {item.id: item.record["problem"] for item in dataset.load().values()}
    assert problems["a"] == "cannot be read: Permission denied"
    assert problems["pipe"] == "not a regular file"
    assert "not UTF-8" in problems["caf\\xe9"]


def settle(*paths):
    for path in paths:
        os.utime(path, (time.time() - 100,) * 2)


def test_unchanged_files_are_not_read_again(dataset, folder, monkeypatch):
    monkeypatch.setattr(raw_skins_dataset, "SETTLED_SECONDS", -100.0)
    put(folder, a_png=b"1", b_png=b"2")
    before = dataset.load().digest
    read = []
    digest = hashlib.file_digest

    def note(file, name):
        read.append(Path(file.name).name)
        return digest(file, name)

    monkeypatch.setattr(raw_skins_dataset.hashlib, "file_digest", note)
    assert dataset.load().digest == before
    assert read == []
    status = (folder / "b.png").stat()
    (folder / "b.png").write_bytes(b"3")  # the same size
    os.utime(folder / "b.png", ns=(status.st_atime_ns, status.st_mtime_ns))  # and the same time
    changed = dataset.load()
    assert read == ["b.png"]
    assert changed["b"].sha256 == hashlib.sha256(b"3").hexdigest()


def test_a_file_just_written_is_not_remembered(dataset, folder, tmp_path):
    put(folder, a_png=b"1")
    dataset.load()
    assert not (tmp_path / "cache" / ".digests.jsonl").exists()


def test_broken_cache_is_an_empty_one(dataset, folder, tmp_path):
    put(folder, a_png=b"1")
    put(tmp_path, cache__digests=b"")
    (tmp_path / "cache" / ".digests.jsonl").write_text('{"name": "a.p')
    assert list(dataset.load()) == ["a"]


def test_drawn_skins_are_saved_beside_the_users_own(dataset, folder):
    put(folder, mine_png=b"1", demo__mine_png=b"2")
    dataset.save(drawing(["skin_0", "skin_1"]))
    assert list(dataset.load()) == ["demo/mine", "demo/skin_0", "demo/skin_1", "mine"]
    dataset.save(drawing(["skin_1"]))
    assert list(dataset.load()) == ["demo/mine", "demo/skin_1", "mine"]


def test_a_users_file_is_never_overwritten(dataset, folder):
    put(folder, demo__skin1_png=b"mine")
    with pytest.raises(DatasetError, match=r"skin1.png is in the way.*Move it"):
        dataset.save(drawing(["skin1"]))
    assert (folder / "demo" / "skin1.png").read_bytes() == b"mine"


def test_half_drawn_skins_cannot_be_loaded(dataset, folder):
    put(folder, a_png=b"1")
    failing = Plan.from_tasks(
        "draw", tasks=[Task("skin_0")], make_worker=functools.partial(workers.give, workers.broken)
    )
    with pytest.raises(DatasetError):
        dataset.save(failing)
    with pytest.raises(DatasetError, match=r"interrupted.*demo_data.*again") as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, IncompleteDatasetError)


def test_preview_leaves_out_what_is_no_picture(dataset, folder):
    put(folder, page_html=b"<html>")
    assert dataset.preview() == ""
    Image.new("RGB", (400, 300), "red").save(folder / "skin.png")
    sheet = dataset.contact_sheet()
    assert sheet is not None
    picture = Image.open(io.BytesIO(sheet))
    assert picture.getpixel((picture.width // 2, picture.height // 2)) == (255, 0, 0)
    assert "01_raw" in str(dataset)


def test_folders_that_are_anothers_are_left_out(folder):
    put(folder, packages__a_bds=b"1", mine_png=b"2")
    assert list(RawSkinsDataset(filepath=str(folder), ignore=["packages"]).load()) == ["mine"]


def test_no_files_are_no_items_where_that_is_allowed(tmp_path):
    assert len(RawSkinsDataset(filepath=str(tmp_path / "none"), may_be_empty=True).load()) == 0


def test_packages_are_previewed_as_a_table(tmp_path):
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages/a.bds").write_bytes(b"123")
    packages = RawSkinsDataset(filepath=str(tmp_path / "packages"), suffix=".bds")
    assert packages.preview()["columns"] == ["file", "bytes"]
    assert packages.preview()["data"] == [["a.bds", 3]]
