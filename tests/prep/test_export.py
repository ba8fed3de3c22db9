"""Shards hold exactly the published training set, and the libraries read them."""

import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Image as ImageFeature
from datasets import load_dataset
from datasets.distributed import split_dataset_by_node
from PIL import Image
from pydantic import ValidationError

from skin_pipeline.datasets import FolderDataset
from skin_pipeline.errors import ConfigurationError, IncompleteDatasetError
from skin_pipeline.items import Folder, FolderPlan
from skin_pipeline.prep import export
from skin_pipeline.prep.export import ExportParameters, plan_export, write_export

from .conftest import draw_skin

QUADS = pa.list_(pa.list_(pa.list_(pa.float64())))
SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("image_file_name", pa.string()),
        ("conditioning_image_file_name", pa.string()),
        ("box", QUADS),
        ("skin", pa.string()),
        ("size_px", pa.list_(pa.int64())),  # a column that this project may add some day
    ]
)
SPLIT_SIZES = {"train": 10, "validation": 3}


def fill(folder: Path) -> None:
    """Write a training set of pictures of several sizes; all share one conditioning image a size."""
    for name in ("images", "conditioning_images"):
        (folder / name).mkdir()
    number = 0
    for split, count in SPLIT_SIZES.items():
        rows = []
        for _ in range(count):
            size = (64, 48) if number % 3 else (48, 64)
            control = f"conditioning_images/edges_{size[0]}.png"
            draw_skin(number, size).save(folder / "images" / f"前往_{number}.png")
            draw_skin(99, size).save(folder / control)
            row = {
                "text": f'a skin, writing "{number}"',
                "image_file_name": f"images/前往_{number}.png",
                "conditioning_image_file_name": control,
                "box": [[[1.0, 2.0], [9.5, 2.0], [9.5, 9.0], [1.0, 9.0]]] if number % 2 else [],
                "skin": f"mine/前往_{number}",
                "size_px": list(size),
            }
            rows.append(row)
            number += 1
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / f"{split}_metadata.parquet")


@pytest.fixture
def dataset(tmp_path: Path) -> Folder:
    published = FolderDataset(filepath=str(tmp_path / "train_dataset"))
    published.save(FolderPlan(fill))
    return published.load()


@pytest.fixture
def exported(tmp_path: Path, dataset: Folder) -> Callable[..., Path]:
    def write(**parameters: Any) -> Path:
        folder = tmp_path / hashlib.sha256(repr(parameters).encode()).hexdigest()[:8]
        folder.mkdir()
        write_export(folder, dataset, ExportParameters(**parameters))
        return folder

    return write


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB"))


def assert_is_published(row: dict[str, Any], dataset: Folder) -> None:
    """Compare a row that a library loaded with the training set."""
    number = int(row["skin"].removeprefix("mine/前往_"))
    assert row["text"] == f'a skin, writing "{number}"'
    assert len(row["box"]) == number % 2
    width, height = row["size_px"]
    for column, name in (
        ("image", f"images/前往_{number}.png"),
        ("conditioning_image", f"conditioning_images/edges_{width}.png"),
    ):
        assert row[column].size == (width, height)
        with Image.open(dataset.path / name) as picture:
            np.testing.assert_array_equal(pixels(row[column]), pixels(picture))


def test_parquet_loads_as_a_folder_and_as_a_stream(
    exported: Callable[..., Path], dataset: Folder, tmp_path: Path
) -> None:
    folder = str(exported(shards_multiple_of=2))
    loaded = load_dataset(folder, cache_dir=str(tmp_path / "cache"))
    streamed = load_dataset(folder, streaming=True)
    for split, count in SPLIT_SIZES.items():
        assert isinstance(loaded[split].features["image"], ImageFeature)
        assert isinstance(streamed[split].features["conditioning_image"], ImageFeature)
        rows, stream = list(loaded[split]), list(streamed[split])
        assert [row["skin"] for row in rows] == [row["skin"] for row in stream]
        assert len({row["skin"] for row in rows}) == count
        for row in [*rows, *stream]:
            assert_is_published(row, dataset)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_every_node_reads_files_of_its_own(
    exported: Callable[..., Path], dataset: Folder, world_size: int
) -> None:
    stream = load_dataset(str(exported(shards_multiple_of=4)), streaming=True, split="train")
    assert stream.num_shards == 4
    seen: list[str] = []
    for rank in range(world_size):
        mine = split_dataset_by_node(stream, rank=rank, world_size=world_size)
        assert mine.num_shards == 4 // world_size
        rows = list(mine)
        for row in rows:
            assert_is_published(row, dataset)
        seen += [row["skin"] for row in rows]
    assert sorted(seen) == sorted(f"mine/前往_{number}" for number in range(10))


def test_tars_hold_the_files_as_they_were_published(exported: Callable[..., Path], dataset: Folder) -> None:
    folder = exported(format="webdataset", shards_multiple_of=2)
    paths = sorted(folder.glob("data/*.tar"))
    assert [path.name for path in paths] == [
        "train-00000-of-00002.tar", "train-00001-of-00002.tar",
        "validation-00000-of-00002.tar", "validation-00001-of-00002.tar",
    ]  # fmt: skip
    stored = set(dataset.files.values())
    skins = []
    for path in paths:
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            assert {(member.mtime, member.uid, member.mode) for member in members} == {(0, 0, 0o644)}
            for picture, control, row in zip(members[::3], members[1::3], members[2::3], strict=True):
                key = row.name.removesuffix(".json")
                assert [picture.name, control.name] == [f"{key}.image.png", f"{key}.conditioning_image.png"]
                for member in (picture, control):
                    assert hashlib.sha256(tar.extractfile(member).read()).hexdigest() in stored
                skins.append(json.load(tar.extractfile(row))["skin"])
    assert len(set(skins)) == len(skins) == 13


def test_the_library_streams_tars(exported: Callable[..., Path], dataset: Folder) -> None:
    stream = load_dataset(str(exported(format="webdataset")), streaming=True, split="train")
    rows = list(stream)
    assert len(rows) == 10
    for row in rows:
        pictures = {column: row[f"{column}.png"] for column in ("image", "conditioning_image")}
        assert_is_published({**row["json"], **pictures}, dataset)


@pytest.mark.parametrize("form", ["parquet", "webdataset"])
def test_the_same_set_gives_the_same_bytes(dataset: Folder, tmp_path: Path, form: str) -> None:
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_export(tmp_path / name, dataset, ExportParameters(format=form))
        files = [path for path in sorted((tmp_path / name).rglob("*")) if path.is_file()]
        contents.append([(path.name, path.read_bytes()) for path in files])
    assert contents[0] == contents[1]


def test_the_number_of_files_follows_their_size_and_the_readers(
    exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def count(folder: Path) -> int:
        return len(list(folder.glob("data/train-*")))

    assert count(exported()) == 1
    assert count(exported(shards_multiple_of=3)) == 3
    monkeypatch.setattr(export._SplitRows, "num_bytes", 5 * 2**20)
    assert count(exported(shard_mib=1)) == 5
    assert count(exported(shard_mib=1, shards_multiple_of=4)) == 8
    monkeypatch.setattr(export._SplitRows, "num_bytes", 500 * 2**20)
    folder = exported(shard_mib=1, shards_multiple_of=2)
    assert count(folder) == 10  # a file has one row at least
    assert len(list(folder.glob("data/validation-*"))) == 2
    rows = [pq.read_metadata(path).num_rows for path in folder.glob("data/validation-*")]
    assert sorted(rows) == [1, 2]


def test_too_few_rows_for_the_readers(
    exported: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = exported(shards_multiple_of=5)
    assert len(list(folder.glob("data/validation-*"))) == 1
    assert "validation has 3 rows, fewer than export.shards_multiple_of (5)" in caplog.text
    with pytest.raises(ConfigurationError, match="only 10 rows to train on"):
        exported(shards_multiple_of=11)


def test_nothing_is_written_again_unless_something_changed(dataset: Folder, tmp_path: Path) -> None:
    target = FolderDataset(filepath=str(tmp_path / "exported"))
    target.save(plan_export(dataset, ExportParameters()))
    (shard,) = (tmp_path / "exported/data").glob("train-*")
    written = shard.stat().st_mtime_ns
    target.save(plan_export(dataset, ExportParameters()))
    assert shard.stat().st_mtime_ns == written
    target.save(plan_export(dataset, ExportParameters(shards_multiple_of=2)))
    assert not shard.exists()


@pytest.mark.parametrize("form", ["parquet", "webdataset"])
@pytest.mark.parametrize("name", ["images/前往_3.png", "conditioning_images/edges_64.png"])
def test_a_picture_that_changed_since_is_not_exported(
    exported: Callable[..., Path], dataset: Folder, form: str, name: str
) -> None:
    path = dataset.path / name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IncompleteDatasetError, match="is not the file that was published"):
        exported(format=form)


@pytest.mark.parametrize("form", ["parquet", "webdataset"])
def test_a_shard_that_reads_back_differently_is_an_error(
    exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    write, read = export._FORMATS[form]

    def spoil(path: Path) -> Any:
        rows = list(read(path))
        name, content = rows[0].pictures["image"]
        rows[0].pictures["image"] = (name, content[:-1] + b"x")
        return iter(rows)

    monkeypatch.setitem(export._FORMATS, form, (write, spoil))
    with pytest.raises(IncompleteDatasetError, match=r"skin 'mine/前往_\d+' \(train\) is not what was"):
        exported(format=form)
    monkeypatch.setitem(export._FORMATS, form, (write, lambda path: iter(list(read(path))[1:])))
    with pytest.raises(IncompleteDatasetError, match=r"is not what was|has 9 rows, expected 10"):
        exported(format=form, shard_mib=2)


def test_a_set_without_rows_to_train_on(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IncompleteDatasetError, match=r"no train_metadata\.parquet"):
        write_export(tmp_path / "folder", Folder(tmp_path, "", {}), ExportParameters())


@pytest.mark.parametrize("wrong", [{"shard_mib": 0}, {"format": "zip"}, {"shards_multiple_of": 0}])
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ExportParameters(**wrong)
