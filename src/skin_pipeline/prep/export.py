"""Export a published training set as shards that many readers can stream.

The published folder is good to look at and to train on one machine; as a stream it is a single shard of
small files, which no two readers can share. An export holds the same rows in files of some hundred MiB::

    README.md                         dataset card; its YAML names the files of each split
    data/train-00000-of-00008.parquet or .tar
    data/validation-00000-of-00008.parquet or .tar

``parquet`` files hold pictures as the datasets library's ``Image`` feature, uncompressed (a PNG is), in small
row groups, so ``load_dataset(folder)`` needs no script, with and without ``streaming=True``. ``webdataset``
files are tars of ``<key>.image.png``, ``<key>.conditioning_image.png`` and ``<key>.json``.

Every column of the published rows is taken over, whatever it is called: those named ``*_file_name`` are
pictures. Rows are in the order of their skins' digests, so that each shard is a fair sample of the set. The
same training set gives the same bytes.
"""

import hashlib
import io
import json
import logging
import math
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from skin_pipeline.errors import ConfigurationError, IncompleteDatasetError
from skin_pipeline.items import Folder, FolderPlan, json_digest, source_digest
from skin_pipeline.prep.publish import SPLITS
from skin_pipeline.schemas import Parameters

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

PICTURE_SUFFIX = "_file_name"
ROWS_AT_ONCE = 64
"""Rows of a row group. A reader of a stream holds one group in memory; at 1024 px it has 100 to 200 MB."""

logger = logging.getLogger(__name__)


class ExportParameters(Parameters):
    """In what form, and in how many files, a training set is exported."""

    format: Literal["parquet", "webdataset"] = "parquet"
    """``parquet`` for the datasets library; ``webdataset`` for tars."""

    shard_mib: int = Field(default=256, ge=1, le=16384)
    """About how large a file becomes, in MiB."""

    shards_multiple_of: int = Field(default=1, ge=1)
    """Nodes times data-loader workers that will read the stream. The number of files of a split is a multiple
    of it, so that each reader has files of its own and as many rows as the others."""


@dataclass(frozen=True)
class ExportRow:
    """A row on its way.

    Attributes:
        columns: Values of the columns that are no pictures.
        pictures: Path in the training set, and the file's bytes, by picture column (``image``).
    """

    columns: Mapping[str, Any]
    pictures: Mapping[str, tuple[str, bytes]]


def plan_export(dataset: Folder, parameters: ExportParameters) -> FolderPlan:
    """Plan the exported folder; it is written anew only when the training set or a parameter has changed."""
    key = json_digest([dataset.digest, parameters.model_dump(mode="json"), source_digest(__name__)])
    return FolderPlan(partial(write_export, dataset=dataset, parameters=parameters), key)


def write_export(folder: Path, dataset: Folder, parameters: ExportParameters) -> None:
    """Fill an empty folder with an export, and compare it with the training set.

    One row group of pictures is in memory at a time.

    Args:
        folder: An existing, empty folder.
        dataset: A training set as :mod:`skin_pipeline.prep.publish` writes it.
        parameters: Format and number of files.

    Raises:
        IncompleteDatasetError: The training set lacks rows, or a file of it or of the export is not what was
            published.
        ConfigurationError: There are fewer rows to train on than there are to be shards.
    """
    splits = {split: rows for split in SPLITS if (rows := _SplitRows.read(dataset, split))}
    if "train" not in splits:
        raise IncompleteDatasetError(
            f"The training set '{dataset.path}' has no train_metadata.parquet. Run `kedro run "
            "--pipeline=data_prep` again."
        )
    (folder / "data").mkdir()
    write, read = _FORMATS[parameters.format]
    num_shards = {split: _count_shards(split, rows, parameters) for split, rows in splits.items()}
    for split, rows in splits.items():
        paths = [
            folder / "data" / f"{split}-{shard:05}-of-{num_shards[split]:05}{_SUFFIXES[parameters.format]}"
            for shard in range(num_shards[split])
        ]
        bounds = np.linspace(0, len(rows), num_shards[split] + 1).round().astype(int).tolist()
        for path, start, end in zip(paths, bounds, bounds[1:], strict=False):
            write(path, rows, start, end)
        _compare(split, rows, (row for path in paths for row in read(path)))
    _write_card(folder, splits, parameters)


def _count_shards(split: str, rows: "_SplitRows", parameters: ExportParameters) -> int:
    """Return a multiple of the number of readers that makes files of about the wanted size."""
    multiple = parameters.shards_multiple_of
    if len(rows) < multiple:
        if split == "train":
            raise ConfigurationError(
                f"export.shards_multiple_of is {multiple}, but there are only {len(rows)} rows to train on; "
                "each file needs one. Lower it."
            )
        logger.warning(
            "%s has %d rows, fewer than export.shards_multiple_of (%d): it is one file, which every reader "
            "reads.", split, len(rows), multiple,
        )  # fmt: skip
        return 1
    wanted = math.ceil(rows.num_bytes / (parameters.shard_mib * 2**20))
    return min(math.ceil(wanted / multiple) * multiple, len(rows) // multiple * multiple)


# --- rows of the training set -------------------------------------------------------------------------


class _SplitRows:
    """The rows of one split, in the order of the export."""

    def __init__(self, dataset: Folder, table: "pa.Table") -> None:
        self._dataset = dataset
        self.table = table
        names = table.column_names
        self.pictures = {n.removesuffix(PICTURE_SUFFIX): n for n in names if n.endswith(PICTURE_SUFFIX)}
        self.columns = [name for name in names if name not in self.pictures.values()]

    @classmethod
    def read(cls, dataset: Folder, split: str) -> "_SplitRows | None":
        """Read a split's rows; None if there is no such split."""
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        name = f"{split}_metadata.parquet"
        if name not in dataset.files:
            return None
        table = pq.read_table(dataset.path / name)
        digests = [hashlib.sha256(skin.encode()).digest() for skin in table.column("skin").to_pylist()]
        return cls(dataset, table.take(sorted(range(len(digests)), key=digests.__getitem__)))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def num_bytes(self) -> int:
        """Bytes of the pictures of all rows."""
        sizes: dict[str, int] = {}
        total = 0
        for column in self.pictures.values():
            for name in self.table.column(column).to_pylist():
                if name not in sizes:
                    sizes[name] = (self._dataset.path / name).stat().st_size
                total += sizes[name]
        return total

    def sha256(self, name: str) -> str:
        """Return the digest of a picture as it was published."""
        return self._dataset.files[name]

    def described(self, start: int, end: int) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
        """Yield the columns of some rows, without pictures, and the paths of their pictures by column."""
        for record in self.table.slice(start, end - start).to_pylist():
            columns = {column: record[column] for column in self.columns}
            yield columns, {picture: record[name] for picture, name in self.pictures.items()}

    def load(self, start: int, end: int) -> list[ExportRow]:
        """Read some rows with their pictures."""
        return [
            ExportRow(columns, {column: (name, self._read(name)) for column, name in names.items()})
            for columns, names in self.described(start, end)
        ]

    def _read(self, name: str) -> bytes:
        content = (self._dataset.path / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != self._dataset.files.get(name):
            raise IncompleteDatasetError(
                f"{self._dataset.path / name} is not the file that was published. Remove "
                f"{self._dataset.path} and run `kedro run --pipeline=data_prep` again."
            )
        return content


# --- parquet ------------------------------------------------------------------------------------------


def _write_parquet(path: Path, rows: _SplitRows, start: int, end: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(rows)
    # No statistics: of a picture column they would be two pictures in every row group's footer.
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    with pq.ParquetWriter(path, schema, **options) as writer:
        for first in range(start, end, ROWS_AT_ONCE):
            records = [
                {
                    **row.columns,
                    **{
                        column: {"bytes": content, "path": Path(name).name}
                        for column, (name, content) in row.pictures.items()
                    },
                }
                for row in rows.load(first, min(end, first + ROWS_AT_ONCE))
            ]
            writer.write_table(pa.Table.from_pylist(records, schema=schema))


def _schema(rows: _SplitRows) -> "pa.Schema":
    """Return the export's schema; its metadata tells the datasets library which columns are pictures."""
    from datasets import Features, Image

    published = Features.from_arrow_schema(rows.table.schema.remove_metadata())
    return Features(
        {
            name.removesuffix(PICTURE_SUFFIX): Image() if name in rows.pictures.values() else feature
            for name, feature in published.items()
        }
    ).arrow_schema


def _read_parquet(path: Path) -> Iterator[ExportRow]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for record in file.read_row_group(group).to_pylist():
                pictures = {
                    name: (value["path"], value["bytes"])
                    for name, value in record.items()
                    if isinstance(value, dict) and value.keys() == {"bytes", "path"}
                }
                columns = {name: value for name, value in record.items() if name not in pictures}
                yield ExportRow(columns, pictures)


# --- webdataset ---------------------------------------------------------------------------------------


def _write_tar(path: Path, rows: _SplitRows, start: int, end: int) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for first in range(start, end, ROWS_AT_ONCE):
            for index, row in enumerate(rows.load(first, min(end, first + ROWS_AT_ONCE)), first):
                for column, (_, content) in row.pictures.items():
                    _add(tar, f"{index:08}.{column}.png", content)
                _add(tar, f"{index:08}.json", json.dumps(dict(row.columns), ensure_ascii=False).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a member without time and owner, so that equal contents make equal tars."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _read_tar(path: Path) -> Iterator[ExportRow]:
    with tarfile.open(path) as tar:
        pictures: dict[str, tuple[str, bytes]] = {}
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None, "this project's tars hold files only"
            _, column, *_ = member.name.split(".")
            if column == "json":
                yield ExportRow(json.loads(file.read()), pictures)
                pictures = {}
            else:
                pictures[column] = (member.name, file.read())


_Write = Callable[[Path, _SplitRows, int, int], None]
_Read = Callable[[Path], Iterator[ExportRow]]
_FORMATS: Mapping[str, tuple[_Write, _Read]] = {
    "parquet": (_write_parquet, _read_parquet),
    "webdataset": (_write_tar, _read_tar),
}
_SUFFIXES = {"parquet": ".parquet", "webdataset": ".tar"}


# --- check --------------------------------------------------------------------------------------------


def _compare(split: str, rows: _SplitRows, exported: Iterator[ExportRow]) -> None:
    """Compare what can be read back with the training set: rows, columns, and pictures by their digests."""
    num_read = 0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        expected = rows.described(start, start + ROWS_AT_ONCE)
        for (columns, names), row in zip(expected, exported, strict=False):
            _compare_row(split, columns, {column: rows.sha256(name) for column, name in names.items()}, row)
            num_read += 1
    num_read += sum(1 for _ in exported)
    if num_read != len(rows):
        raise IncompleteDatasetError(
            f"The export of {split} has {num_read} rows, expected {len(rows)}. Run the same command again."
        )


def _compare_row(split: str, columns: Mapping[str, Any], digests: Mapping[str, str], row: ExportRow) -> None:
    found = {column: hashlib.sha256(content).hexdigest() for column, (_, content) in row.pictures.items()}
    if row.columns != columns or found != digests:
        raise IncompleteDatasetError(
            f"The export of skin '{columns['skin']}' ({split}) is not what was to be written. Look at the "
            "disk, and run the same command again."
        )


# --- card ---------------------------------------------------------------------------------------------

_CARD = """\
---
pretty_name: Keyboard skins
task_categories:
- text-to-image
tags:
- controlnet
- keyboard-skins
configs:
- config_name: default
  data_files:
{data_files}
---

# Keyboard skins for ControlNet training, in shards

{counts}. The columns are those of the training set that this was exported from; pictures are PNG.

{example}
"""

_EXAMPLES = {
    "parquet": """\
```python
from datasets import load_dataset
from datasets.distributed import split_dataset_by_node

skins = load_dataset("path/of/this/folder", split="train", streaming=True)
mine = split_dataset_by_node(skins, rank=0, world_size=1).shuffle(seed=0)
```""",
    "webdataset": """\
Members of a sample: `<key>.image.png`, `<key>.conditioning_image.png` and `<key>.json`.

```python
import webdataset

skins = webdataset.WebDataset("path/of/this/folder/data/train-{00000..}-of-….tar").decode("pil")
```""",
}


def _write_card(folder: Path, splits: Mapping[str, _SplitRows], parameters: ExportParameters) -> None:
    suffix = _SUFFIXES[parameters.format]
    card = _CARD.format(
        data_files="\n".join(f"  - split: {split}\n    path: data/{split}-*{suffix}" for split in splits),
        counts=", ".join(f"{len(rows)} rows of {split}" for split, rows in splits.items()),
        example=_EXAMPLES[parameters.format],
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
