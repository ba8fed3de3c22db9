"""What a workspace remembers of its versions."""

from pathlib import Path

import pytest

from skin_pipeline.lineage.history import FOLDER, History, Run, Version

RUN = Run("r1", "kedro run --pipeline=train", "abc+changes", "2026-01-02T03:04:05+00:00")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_what_is_noted_is_read_again(folder: Path) -> None:
    version = Version("train_dataset", "d1", RUN, {"resized_skins": "d0"})
    History(folder).add_version(version)
    assert History(folder).versions == {("train_dataset", "d1"): version}


def test_a_version_is_noted_once_and_keeps_its_first_run(folder: Path) -> None:
    later = Run("r2", "kedro run", None, "2026-02-02T03:04:05+00:00")
    History(folder).add_version(Version("train_dataset", "d1", RUN))
    History(folder).add_version(Version("train_dataset", "d1", later))
    (version,) = History(folder).versions.values()
    assert version.run == RUN
    assert len((folder / FOLDER / "versions.jsonl").read_text().splitlines()) == 1


def test_a_line_that_a_kill_cut_short_harms_no_other(folder: Path) -> None:
    History(folder).add_version(Version("a", "1", RUN))
    file = folder / FOLDER / "versions.jsonl"
    file.write_bytes(file.read_bytes()[:-1] + b'\n{"dataset": "b", "dig')
    History(folder).add_version(Version("c", "3", RUN))
    assert list(History(folder).versions) == [("a", "1"), ("c", "3")]


def test_ancestors_are_found_through_what_lies_between(folder: Path) -> None:
    history = History(folder)
    history.add_version(Version("screened_skins", "s", RUN, {"raw_skins": "r"}))
    history.add_version(Version("resized_skins", "z", RUN, {"screened_skins": "s"}))
    history.add_version(Version("train_dataset", "t", RUN, {"resized_skins": "z", "captions": "c"}))
    assert history.ancestor("train_dataset", "t", "raw_skins") == "r"
    assert history.ancestor("train_dataset", "t", "raw_packages") is None
    assert history.ancestor("train_dataset", "other", "raw_skins") is None


def test_a_dataset_made_from_itself_ends_the_search(folder: Path) -> None:
    history = History(folder)
    history.add_version(Version("raw_skins", "r", RUN, {"raw_packages": "p", "raw_skins": "r"}))
    assert history.ancestor("raw_skins", "r", "raw_packages") == "p"
    assert history.ancestor("raw_skins", "r", "screened_skins") is None


def test_contents_are_kept_by_digest(folder: Path) -> None:
    History(folder).add_contents("d", {"demo/皮肤.png": "sha"})
    assert History(folder).contents("d") == {"demo/皮肤.png": "sha"}
    assert History(folder).contents("e") is None


def test_pictures_are_noted_once_by_their_bytes(folder: Path) -> None:
    History(folder).add_pictures([("s1", "a", {"seed": 0})], RUN)
    History(folder).add_pictures([("s1", "a", {"seed": 0}), ("s2", "a", {"seed": 1})], RUN)
    assert {sha: picture["record"]["seed"] for sha, picture in History(folder).pictures.items()} == {
        "s1": 0,
        "s2": 1,
    }
    assert len((folder / FOLDER / "pictures.jsonl").read_text().splitlines()) == 2
