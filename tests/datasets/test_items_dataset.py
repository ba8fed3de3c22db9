"""Saving and loading items: what is made again, and what a kill or a full disk leaves."""

from __future__ import annotations

import base64
import errno
import functools
import inspect
import io
import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from kedro.io import DatasetError
from PIL import Image

from skin_pipeline.datasets import ItemsDataset, item_folder
from skin_pipeline.errors import IncompleteDatasetError, StorageError
from skin_pipeline.items import Item, Items, Output, Plan, Rejection, Task, item_key
from tests import workers

IDS = [f"demo/skin_{number:02}" for number in range(6)]


@pytest.fixture
def log(tmp_path):
    """A file with a line for each item that a worker made."""
    return tmp_path / "log"


@pytest.fixture
def dataset(tmp_path):
    return ItemsDataset(filepath=str(tmp_path / "edge_maps"), suffix=".png")


@pytest.fixture
def plan_of(log):
    def plan_of(items, threshold=128, **fields):
        worker = workers.Thresholder(threshold, log)
        return Plan(
            "threshold",
            functools.partial(workers.give, worker),
            sources={"skin": items},
            parameters={"threshold": threshold},
            **fields,
        )

    return plan_of


def take(log):
    """Return the ids made since the last call."""
    made = [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []
    log.unlink(missing_ok=True)
    return made


def tree(folder):
    """Return the content of every file but the lock and the summary."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name not in {".lock", ".summary.json"}
    }


def test_saved_items_are_loaded(dataset, plan_of, make_items):
    items = make_items(*IDS, "bad_1")
    assert not dataset.exists()
    dataset.save(plan_of(items))
    assert dataset.exists()
    loaded = dataset.load()
    assert list(loaded) == IDS
    assert loaded.rejected == {"bad_1": "it is bad"}
    item = loaded[IDS[0]]
    expected = items[IDS[0]].load_image().mean(axis=2) > 128
    assert ((item.load_image() > 0) == expected).all()
    assert item.record == {"share": expected.mean()}
    assert "edge_maps" in str(dataset)


def test_records_are_loaded_without_files(tmp_path, make_items):
    dataset = ItemsDataset(filepath=str(tmp_path / "captions"))
    dataset.save(Plan("name", workers.Namer, sources={"skin": make_items("a", "b")}))
    assert dataset.load()["b"].record == {"name": "b", "initial": "b"}
    assert dataset.load()["b"].path is None
    assert set(tree(tmp_path / "captions")) == {"_manifest.jsonl"}


def test_records_about_files_elsewhere_point_to_them(tmp_path, make_items):
    def worker(tasks):
        return [Output({"source": f"{task.id}.png"}) for task in tasks]

    items = make_items("a", folder="raw")
    dataset = ItemsDataset(filepath=str(tmp_path / "screened"), source_folder=str(tmp_path / "raw"))
    dataset.save(Plan("screen", lambda: worker, sources={"raw": items}))
    item = dataset.load()["a"]
    assert (item.path, item.sha256) == (items["a"].path, items["a"].sha256)


def test_unwritten_dataset_says_so(dataset):
    with pytest.raises(DatasetError, match="was not written yet") as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, IncompleteDatasetError)


# --- what is made again


def test_nothing_is_made_again_when_nothing_changed(dataset, plan_of, make_items, log, caplog):
    dataset.save(plan_of(make_items(*IDS, "bad_1")))
    before = tree(dataset._filepath)
    manifest = dataset._filepath / "_manifest.jsonl"
    written = manifest.stat().st_mtime_ns
    take(log)
    caplog.set_level(logging.INFO)
    dataset.save(plan_of(make_items(*IDS, "bad_1"), batch_size=4))
    assert take(log) == []
    assert tree(dataset._filepath) == before
    assert manifest.stat().st_mtime_ns == written
    assert "edge_maps: 6 items, 7 reused, 0 made, 1 rejected" in caplog.text


def test_one_changed_source_is_one_item_made(dataset, plan_of, make_items, log):
    items = make_items(*IDS)
    dataset.save(plan_of(items))
    take(log)
    changed = Items([*(items[i] for i in IDS[1:]), Item(IDS[0], {}, "other", items[IDS[1]].path)])
    dataset.save(plan_of(changed))
    assert take(log) == [IDS[0]]
    assert dataset.load()[IDS[0]].sha256 == dataset.load()[IDS[1]].sha256


def test_changed_parameter_makes_all_again(dataset, plan_of, make_items, log):
    dataset.save(plan_of(make_items(*IDS)))
    take(log)
    dataset.save(plan_of(make_items(*IDS), threshold=100))
    assert sorted(take(log)) == IDS


def test_removed_source_removes_the_file_and_nothing_else(dataset, plan_of, make_items, log):
    dataset.save(plan_of(make_items(*IDS, "other/skin")))
    note = dataset._filepath / "demo" / "note.txt"
    note.write_text("mine")
    take(log)
    dataset.save(plan_of(make_items(*IDS[1:])))
    assert take(log) == []
    assert set(tree(dataset._filepath)) == {
        "_manifest.jsonl",
        "demo/note.txt",
        *(f"{item_id}.png" for item_id in IDS[1:]),
    }
    assert not (dataset._filepath / "other").exists()


@pytest.mark.parametrize("harm", ["removed", "cut"])
def test_harmed_file_is_made_again(dataset, plan_of, make_items, log, harm):
    dataset.save(plan_of(make_items(*IDS)))
    before = tree(dataset._filepath)
    take(log)
    path = dataset.load()[IDS[2]].path
    path.unlink() if harm == "removed" else path.write_bytes(path.read_bytes()[:-1])
    dataset.save(plan_of(make_items(*IDS)))
    assert take(log) == [IDS[2]]
    assert tree(dataset._filepath) == before


def test_item_rejected_now_loses_its_file(tmp_path, make_items):
    dataset = ItemsDataset(filepath=str(tmp_path / "maps"), suffix=".png")

    def save(worker, version):
        dataset.save(
            Plan("t", lambda: worker, sources={"skin": make_items("a")}, parameters={"version": version})
        )

    save(workers.Thresholder(), 1)
    save(lambda tasks: [Rejection("no") for _ in tasks], 2)
    assert set(tree(tmp_path / "maps")) == {"_manifest.jsonl"}
    assert dataset.load().rejected == {"a": "no"}


def test_selection_rejects_by_all_records_and_is_taken_again_each_time(tmp_path, make_items):
    def keep_first(records):
        first = {}
        for item_id, record in records.items():
            first.setdefault(record["initial"], item_id)
        return {
            item_id: f"like '{first[record['initial']]}'"
            for item_id, record in records.items()
            if first[record["initial"]] != item_id
        }

    dataset = ItemsDataset(filepath=str(tmp_path / "screened"))

    def save(*ids):
        dataset.save(Plan("name", workers.Namer, sources={"skin": make_items(*ids)}, select=keep_first))
        return dataset.load()

    loaded = save("a1", "a2", "b1")
    assert (list(loaded), loaded.rejected) == (["a1", "b1"], {"a2": "like 'a1'"})
    assert {item_id: item.record["initial"] for item_id, item in loaded.left_out.items()} == {"a2": "a"}
    loaded = save("a2", "b1")
    assert (list(loaded), loaded.rejected) == (["a2", "b1"], {})


def test_records_made_after_a_torn_line_are_read_from_their_places(tmp_path, make_items):
    dataset = ItemsDataset(filepath=str(tmp_path / "captions"))
    journal = tmp_path / "captions" / "_journal.jsonl"
    journal.parent.mkdir()
    journal.write_bytes(b'{"id":"a","key":"torn by a full di')
    seen = {}

    def look(records):
        seen.update({item_id: dict(record.items()) for item_id, record in records.items()})
        return {}

    dataset.save(Plan("name", workers.Namer, sources={"skin": make_items("a", "b")}, select=look))
    assert seen == {name: {"name": name, "initial": name} for name in ("a", "b")}
    assert dataset.load()["a"].record == {"name": "a", "initial": "a"}


# --- nothing to do


@pytest.fixture
def asked(monkeypatch):
    """Ids whose keys were asked for."""
    ids = []

    def ask(plan, task):
        ids.append(task.id)
        return item_key(plan, task)

    monkeypatch.setattr(item_folder, "item_key", ask)
    return ids


def test_no_item_is_asked_when_the_plan_is_the_same(dataset, plan_of, make_items, asked, caplog):
    items = make_items(*IDS, "bad_1")
    dataset.save(plan_of(items))
    assert sorted(asked) == sorted(items)
    asked.clear()
    with caplog.at_level(logging.INFO):
        dataset.save(plan_of(items))
    assert asked == []
    assert "edge_maps: 6 items, 7 reused, 0 made, 1 rejected" in caplog.text
    dataset.save(plan_of(items, threshold=100))
    assert sorted(asked) == sorted(items)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"half")])
def test_a_lost_or_cut_file_is_made_again_under_the_same_plan(dataset, plan_of, make_items, log, damage):
    items = make_items(*IDS)
    dataset.save(plan_of(items))
    take(log)
    damage(dataset._filepath / f"{IDS[2]}.png")
    dataset.save(plan_of(items))
    assert take(log) == [IDS[2]]


def test_a_summary_counts_only_beside_its_own_manifest(dataset, plan_of, make_items, log):
    items = make_items(*IDS)
    dataset.save(plan_of(items))
    take(log)
    manifest = dataset._filepath / "_manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[1:]))
    assert list(dataset.load()) == IDS[1:]
    assert dataset.load().digest != items.digest
    dataset.save(plan_of(items))
    assert take(log) == IDS[:1]


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b'{"stat": 1, "other": 2}'])
def test_a_summary_may_be_lost_or_broken(dataset, plan_of, make_items, log, asked, content):
    items = make_items(*IDS)
    dataset.save(plan_of(items))
    summary = dataset._filepath / ".summary.json"
    first = (dataset.load().digest, dataset.load().full_digest, summary.read_bytes())
    summary.unlink() if content is None else summary.write_bytes(content)
    take(log), asked.clear()
    assert (dataset.load().digest, dataset.load().full_digest) == first[:2]
    dataset.save(plan_of(items))
    assert (take(log), sorted(asked)) == ([], IDS)
    assert summary.read_bytes() == first[2]


def test_digests_are_known_without_reading_and_are_those_of_the_items(
    dataset, plan_of, make_items, monkeypatch
):
    dataset.save(plan_of(make_items(*IDS, "bad_1")))
    loaded = dataset.load()
    plain = Items(loaded.values(), loaded.rejected, loaded.left_out.values())
    monkeypatch.setattr(ItemsDataset, "_read", lambda *_: pytest.fail("the manifest was read"))
    lazy = dataset.load()
    assert (lazy.digest, lazy.full_digest) == (plain.digest, plain.full_digest)
    assert lazy.rejected == {"bad_1": "it is bad"}


def test_loaded_items_can_be_pickled(dataset, plan_of, make_items):
    dataset.save(plan_of(make_items(*IDS, "bad_1")))
    again = pickle.loads(pickle.dumps(dataset.load()))  # noqa: S301
    assert again.full_digest == dataset.load().full_digest
    assert again[IDS[0]].path == dataset._filepath / f"{IDS[0]}.png"


def test_a_selection_with_a_key_is_made_again_when_the_key_is_another(tmp_path, make_items):
    taken = []

    def reject_all(records):
        taken.append(sorted(records))
        return dict.fromkeys(records, "no")

    dataset = ItemsDataset(filepath=str(tmp_path / "screened"))
    plan = Plan("name", workers.Namer, sources={"skin": make_items("a", "b")}, select=reject_all)
    for key in ("first", "first", "second", None, None):
        dataset.save(replace(plan, select_key=key))
    assert taken == [["a", "b"]] * 4
    assert dataset.load().rejected == {"a": "no", "b": "no"}


# --- kills


def test_digests_do_not_depend_on_place_order_or_workers(tmp_path, plan_of, make_items):
    contents = []
    for name, fields in {"here": {}, "there/deep": {"batch_size": 2, "num_workers": 2}}.items():
        dataset = ItemsDataset(filepath=str(tmp_path / name), suffix=".png")
        dataset.save(plan_of(make_items(*IDS, "bad_1"), **fields))
        contents.append((tree(tmp_path / name), dataset.content_manifest(), dataset.load().digest))
    assert contents[0] == contents[1]
    assert str(tmp_path) not in contents[0][0]["_manifest.jsonl"].decode()


SAVE = """
import functools, sys
from pathlib import Path
from tests import workers
from skin_pipeline.datasets import ItemsDataset
from skin_pipeline.items import Item, Items, Plan
source, target, log, num_workers = sys.argv[1:]
items = Items(Item(path.stem, {}, path.stem, path) for path in Path(source).glob("*.png"))
make_worker = functools.partial(workers.give, workers.Thresholder(128, Path(log), delay_seconds=0.02))
plan = Plan("threshold", make_worker, sources={"skin": items}, num_workers=int(num_workers))
if __name__ == "__main__":
    ItemsDataset(filepath=target, suffix=".png").save(plan)
"""


@pytest.mark.parametrize("num_workers", ["1", "2"])
def test_killed_save_goes_on_where_it_stopped(tmp_path, make_items, log, num_workers):
    ids = [f"item_{number:02}" for number in range(30)]
    make_items(*ids)
    script = tmp_path / "save.py"
    script.write_text(SAVE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def start(target):
        arguments = [sys.executable, script, tmp_path / "source", target, log, num_workers]
        return subprocess.Popen(arguments, env=environment)

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for num_before_kill in (7, 15):
        process = start(killed)
        wait_until(lambda: len(list(killed.glob("*.png"))) >= num_before_kill, process)  # noqa: B023
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (killed / "_manifest.jsonl").exists()
        assert all(path.stat().st_size for path in killed.glob("*.png"))
    wait_until_gone({int(line.split()[1]) for line in log.read_text().splitlines()})
    num_kept = len(list(killed.glob("*.png")))
    take(log)
    assert start(killed).wait() == 0
    assert len(take(log)) <= 30 - num_kept + 1  # the item that was being written may be made twice
    assert start(whole).wait() == 0
    assert tree(killed) == tree(whole)


def wait_until(condition, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the save ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_until_gone(processes, seconds=20):
    """Wait for the worker processes of a killed save to end by themselves."""
    deadline = time.monotonic() + seconds
    while any(Path(f"/proc/{process}").exists() for process in processes):
        assert time.monotonic() < deadline, "worker processes outlive their parent"
        time.sleep(0.05)


def interrupt(dataset, plan, monkeypatch, after):
    """Save, but stop as a kill would after some files were written."""
    write, num_written = item_folder.write_atomically, 0

    def write_some(path, content):
        nonlocal num_written
        if num_written == after:
            raise KeyboardInterrupt
        num_written += 1
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(item_folder, "write_atomically", write_some)
        with pytest.raises(KeyboardInterrupt):
            dataset.save(plan)


def test_interrupted_dataset_cannot_be_loaded(dataset, plan_of, make_items, monkeypatch):
    dataset.save(plan_of(make_items(*IDS)))
    interrupt(dataset, plan_of(make_items(*IDS), threshold=100), monkeypatch, after=2)
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"was interrupted.*same command goes on"):
        dataset.load()


@pytest.mark.parametrize(
    "tail", [b'{"id":"demo/skin_00","key":"', b"\x00\x00\x00", b"not json\n", b'{"id":1,"new":2}\n']
)
def test_torn_journal_is_read_as_far_as_it_goes(dataset, plan_of, make_items, monkeypatch, log, tail):
    interrupt(dataset, plan_of(make_items(*IDS)), monkeypatch, after=3)
    with (dataset._filepath / "_journal.jsonl").open("ab") as journal:
        journal.write(tail)
    take(log)
    dataset.save(plan_of(make_items(*IDS)))
    assert sorted(take(log)) == IDS[3:]
    lines = (dataset._filepath / "_manifest.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["id"] for line in lines] == IDS
    assert not (dataset._filepath / "_journal.jsonl").exists()


def test_old_file_is_not_taken_for_the_new_one(dataset, plan_of, make_items, monkeypatch, log):
    """A kill between the file and its record, then the old parameters again: the file is of unknown age."""
    dataset.save(plan_of(make_items(*IDS)))
    before = tree(dataset._filepath)

    def append_announcements_only(journal, line):
        if b'"key"' in line:
            raise KeyboardInterrupt
        journal.write(line)
        journal.flush()

    with monkeypatch.context() as patch:
        patch.setattr(item_folder, "_append", append_announcements_only)
        with pytest.raises(KeyboardInterrupt):
            dataset.save(plan_of(make_items(*IDS), threshold=100))
    take(log)
    dataset.save(plan_of(make_items(*IDS)))
    assert take(log) == [IDS[0]]
    assert tree(dataset._filepath) == before


# --- a disk that refuses, a second run


def test_second_save_is_refused(dataset, plan_of, make_items):
    def save_again(tasks):
        with pytest.raises(
            DatasetError, match=f"written by another run \\(process {os.getpid()}\\)"
        ) as caught:
            dataset.save(plan_of(make_items(*IDS)))
        assert isinstance(caught.value.__cause__, StorageError)
        return [Output({}, tasks[0].inputs["skin"].load_image())]

    dataset.save(Plan("outer", lambda: save_again, sources={"skin": make_items("a")}))
    assert list(dataset.load()) == ["a"]


def test_full_disk_is_explained_and_leaves_no_half(dataset, plan_of, make_items, monkeypatch, log):
    fsync, num_flushed = os.fsync, 0

    def fill_up(descriptor):
        nonlocal num_flushed
        num_flushed += 1
        if num_flushed > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill_up)
        with pytest.raises(DatasetError, match=r"disk that holds .*edge_maps is full .*Free some space"):
            dataset.save(plan_of(make_items(*IDS)))
    assert {name for name in tree(dataset._filepath) if not name.startswith("_")} == {
        f"{i}.png" for i in IDS[:3]
    }
    take(log)
    dataset.save(plan_of(make_items(*IDS)))
    assert sorted(take(log)) == IDS[3:]


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_disk_that_is_really_full(tiny_disk, make_items, log):
    items = make_items(*IDS, size_px=(80, 60))

    def copy(tasks):
        return [Output({}, task.inputs["skin"].load_image()) for task in tasks]

    plan = Plan("copy", lambda: copy, sources={"skin": items})
    dataset = ItemsDataset(filepath=str(tiny_disk / "copies"), suffix=".png")
    with pytest.raises(DatasetError, match="is full"):
        dataset.save(plan)
    kept = {name for name in tree(tiny_disk / "copies") if not name.startswith("_")}
    assert 0 < len(kept) < len(IDS)
    subprocess.run(["mount", "-o", "remount,size=1m", str(tiny_disk)], check=True)
    dataset.save(plan)
    assert list(dataset.load()) == IDS


def test_read_only_disk_is_explained(tiny_disk, plan_of, make_items):
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(DatasetError, match=r"cannot be written: Read-only file system.*write access"):
        ItemsDataset(filepath=str(tiny_disk / "maps"), suffix=".png").save(plan_of(make_items(*IDS)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_write_access_is_explained(tmp_path, plan_of, make_items):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(DatasetError, match=r"cannot be written: Permission denied.*write access"):
        ItemsDataset(filepath=str(folder / "maps"), suffix=".png").save(plan_of(make_items(*IDS)))


@pytest.mark.parametrize("bad", ["../out", "/etc/skin", "a/../b", "_manifest", ".lock", "a//b", ""])
def test_id_that_is_no_path_inside_is_refused(dataset, bad):
    plan = Plan.from_tasks("name", tasks=[Task(bad)], make_worker=workers.Namer)
    with pytest.raises(DatasetError, match="cannot name an item"):
        dataset.save(plan)


# --- previews


def test_preview_of_pictures_is_a_contact_sheet(dataset, plan_of, make_items):
    dataset.save(plan_of(make_items(*(f"item_{n:02}" for n in range(30)))))
    sheet = Image.open(io.BytesIO(base64.b64decode(dataset.preview())))
    assert sheet.format == "PNG"
    assert preview_type(dataset) == "ImagePreview"
    assert sheet.width > sheet.height


def preview_type(dataset):
    """Return what kedro-viz takes the preview for: it reads the annotation."""
    annotation = inspect.signature(dataset.preview).return_annotation
    return getattr(annotation, "__name__", str(annotation))


def test_preview_of_packages_is_a_table_of_their_records(tmp_path):
    packages = ItemsDataset(filepath=str(tmp_path / "packages"), suffix=".bds")
    assert preview_type(packages) == "TablePreview"
    pack = lambda tasks: [Output({"product": "baidu"}, content=b"x") for _ in tasks]  # noqa: E731
    packages.save(Plan.from_tasks("export", tasks=[Task("a", {})], make_worker=lambda: pack))
    assert packages.preview()["data"] == [["a", "baidu"]]
    assert packages.contact_sheet() is None


def test_preview_of_records_is_a_table(tmp_path, make_items):
    dataset = ItemsDataset(filepath=str(tmp_path / "captions"))
    assert preview_type(dataset) == "TablePreview"
    dataset.save(Plan("name", workers.Namer, sources={"skin": make_items("a", "b")}))
    assert dataset.preview() == {
        "index": [0, 1],
        "columns": ["id", "initial", "name"],
        "data": [["a", "a", "a"], ["b", "b", "b"]],
    }
