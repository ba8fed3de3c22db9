"""Items of a stage, plans to make them, and the keys that say what is out of date.

A stage of this project turns *items* (a skin's picture, its edges, its caption) into other items. A node
does not compute them: it returns a :class:`Plan`, which says what makes an item and from what. The dataset
it is saved to asks which items are missing or out of date (:func:`item_key`), has an engine
(:mod:`skin_pipeline.engines`) make only those and stores each one as it comes. Nodes thereby stay pure,
memory stays bounded, and a run that was killed goes on where it stopped.

Convention: pictures are ``uint8`` arrays, (H, W, 3) in RGB or (H, W) grey.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from skin_pipeline.errors import InputError


def canonical_json(value: object) -> str:
    """Write a JSON value in the one form that digests are taken of.

    Args:
        value: Anything JSON can say. NaN and infinities are refused.

    Returns:
        JSON with sorted keys, no spaces and characters beyond ASCII as they are.
    """
    return _CANONICAL.encode(value)


def _plain(value: object) -> object:
    """Return the plain form of a mapping that is not a dict; refuse anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON: {value!r}")


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
)


def json_digest(value: object) -> str:
    """Return the sha256 (64 hex digits) of a JSON value's canonical form."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


class RecordStore(Protocol):
    """Where records lie, as canonical JSON."""

    def read(self, start: int, length: int) -> bytes:
        """Return a record as it is stored, by its place in bytes."""

    def load(self, start: int, length: int) -> dict[str, Any]:
        """Return a record."""


class StoredRecord(Mapping[str, Any]):
    """A record that stays where it is stored, and is read whenever it is asked for.

    Records of a hundred thousand skins would fill the memory; places of records do not. A worker process
    gets a plain dict.

    Attributes:
        sha256: Digest of the record's canonical JSON.
    """

    __slots__ = ("_length", "_start", "_store", "sha256")

    def __init__(self, store: RecordStore, start: int, length: int, sha256: str) -> None:
        """Remember the place.

        Args:
            store: What holds the record.
            start: Where it begins, in bytes.
            length: How long it is, in bytes.
            sha256: Its digest.
        """
        self._store, self._start, self._length, self.sha256 = store, start, length, sha256

    def read(self) -> bytes:
        """Return the record's canonical JSON."""
        return self._store.read(self._start, self._length)

    def _load(self) -> dict[str, Any]:
        return self._store.load(self._start, self._length)

    def __getitem__(self, field: str) -> Any:
        """Read the record and return one of its fields."""
        return self._load()[field]

    def __iter__(self) -> Iterator[str]:
        """Read the record and iterate over the names of its fields."""
        return iter(self._load())

    def __len__(self) -> int:
        """Read the record and return the number of its fields."""
        return len(self._load())

    def items(self) -> ItemsView[str, Any]:
        """Read the record once and return its fields with their values."""
        return self._load().items()

    def __repr__(self) -> str:
        """Show the record."""
        return repr(self._load())

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        """Become a plain dict where this is pickled to."""
        return dict, (self._load(),)


@dataclass(frozen=True)
class Item:
    """One thing that a stage made (or that a user brought): a record, and a file if there is one.

    Attributes:
        id: The item's name inside its dataset, stable from stage to stage: a path without its suffix
            (``demo/skin_0001``).
        record: What the stage says about the item; JSON.
        sha256: Digest of the file's bytes, or of the record's canonical JSON when there is no file.
        path: The file, if the item has one.
    """

    id: str
    record: Mapping[str, Any]
    sha256: str
    path: Path | None = None

    @cached_property
    def record_digest(self) -> str:
        """The sha256 of the record's canonical JSON."""
        return self.record.sha256 if isinstance(self.record, StoredRecord) else json_digest(self.record)

    def load_image(self) -> np.ndarray:
        """Decode the item's picture as this project stored it.

        Raw skins are read by :func:`skin_pipeline.prep.pictures.read_picture` instead, which knows EXIF
        orientation, alpha, palettes and the rest.

        Returns:
            uint8, (H, W, 3) RGB, or (H, W) for a grey or 1-bit picture (0 and 255).

        Raises:
            InputError: The item has no picture, or its file is missing or cannot be decoded.
        """
        if self.path is None:
            raise InputError(f"Item '{self.id}' has a record only, no picture.")
        try:
            encoded = np.fromfile(self.path, dtype=np.uint8)
        except OSError as exc:
            raise InputError(
                f"Picture of '{self.id}' cannot be read: {exc}. Run the stage that makes it."
            ) from exc
        image: np.ndarray | None = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size else None
        if image is None or not _is_picture(image):
            found = "undecodable bytes" if image is None else f"{image.dtype} of shape {image.shape}"
            raise InputError(
                f"Picture of '{self.id}' ({self.path}): expected an 8-bit RGB or grey picture, got {found}."
            )
        return image if image.ndim == 2 else image[..., ::-1].copy()


def _is_picture(image: np.ndarray) -> bool:
    """Tell whether an array is a picture by this project's convention (in RGB or BGR)."""
    return image.dtype == np.uint8 and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3))


def encode_png(image: np.ndarray) -> bytes:
    """Encode a picture as PNG, without loss.

    OpenCV's own defaults are the fast path; naming a compression level, even the default one, leaves it.

    Args:
        image: uint8, (H, W, 3) RGB or (H, W).

    Returns:
        Bytes of the file: 1 bit a pixel for an (H, W) picture of nothing but 0 and 255, else 8 a channel.
    """
    assert _is_picture(image), f"Not a picture: {image.dtype} of shape {image.shape}"
    options: list[int] = []
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    elif ((image == 0) | (image == 255)).all():
        options = [cv2.IMWRITE_PNG_BILEVEL, 1]
    encoded, content = cv2.imencode(".png", image, options)
    assert encoded, "OpenCV refused to encode a picture."
    return bytes(content)


class Items(Mapping[str, Item]):
    """The items of one dataset, sorted by id, and the ones that were left out."""

    def __init__(
        self,
        items: Iterable[Item] = (),
        rejected: Mapping[str, str] | None = None,
        left_out: Iterable[Item] = (),
    ) -> None:
        """Sort and keep the items.

        Args:
            items: In any order; ids are unique.
            rejected: Reason by id, for ids that are not among the items.
            left_out: Items that a selection left out; their ids are among the rejected.
        """
        self._items = {item.id: item for item in sorted(items, key=lambda item: item.id)}
        self._rejected = dict(sorted((rejected or {}).items()))
        self._left_out = {item.id: item for item in sorted(left_out, key=lambda item: item.id)}

    @property
    def rejected(self) -> Mapping[str, str]:
        """Reason by id for each item that its stage left out."""
        return self._rejected

    @property
    def left_out(self) -> Mapping[str, Item]:
        """Those of the rejected items that were made before a selection left them out, by id."""
        return self._left_out

    def __getitem__(self, item_id: str) -> Item:
        """Return the item of that id."""
        return self._items[item_id]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids, sorted."""
        return iter(self._items)

    def __len__(self) -> int:
        """Return the number of items (rejected ones not counted)."""
        return len(self._items)

    def __repr__(self) -> str:
        """Say how many items there are."""
        return f"Items({len(self)} items, {len(self.rejected)} rejected)"

    def under(self, folder: str) -> Items:
        """Return the same items with ids inside a folder, ``a`` as ``folder/a``."""
        return Items(
            (Item(f"{folder}/{item.id}", item.record, item.sha256, item.path) for item in self.values()),
            {f"{folder}/{item_id}": reason for item_id, reason in self.rejected.items()},
        )

    @cached_property
    def digest(self) -> str:
        """The sha256 of all ids, files and records; the same wherever the files lie."""
        return digest_contents((item.id, item.sha256, item.record_digest) for item in self.values())

    @cached_property
    def full_digest(self) -> str:
        """The sha256 of the items, of those that were left out, and of the reasons."""
        left_out = ((item.id, item.sha256, item.record_digest) for item in self.left_out.values())
        return json_digest([self.digest, digest_contents(left_out), self.rejected])


def digest_contents(items: Iterable[tuple[str, str, str]]) -> str:
    """Digest items without holding them.

    Args:
        items: Id, digest of the file and digest of the record of each, sorted by id.

    Returns:
        sha256, 64 hex digits.
    """
    lines = hashlib.sha256()
    for item in items:
        lines.update("\0".join(item).encode() + b"\n")
    return lines.hexdigest()


@dataclass(frozen=True)
class Output:
    """What a worker makes of one task.

    Attributes:
        record: JSON; kept in the dataset's manifest.
        image: uint8, (H, W, 3) RGB or (H, W); stored as PNG, with 1 bit a pixel when it is (H, W) and holds
            nothing but 0 and 255.
        content: Bytes of a file of another kind, in place of a picture.
    """

    record: Mapping[str, Any]
    image: np.ndarray | None = None
    content: bytes | None = None


@dataclass(frozen=True)
class Rejection:
    """A worker's refusal of one task: the item is left out, and the reason is kept.

    Attributes:
        reason: What is wrong with the item, for the user who brought it.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Task:
    """What one item is to be made of.

    Attributes:
        id: Id of the item to make.
        inputs: The source items, by the name of their source.
    """

    id: str
    inputs: Mapping[str, Item] = field(default_factory=dict)


Worker = Callable[[Sequence[Task]], Sequence[Output | Rejection]]
"""Makes a batch: one result a task, in the tasks' order. It may hold a loaded model."""

Select = Callable[[Mapping[str, Mapping[str, Any]]], Mapping[str, str]]
"""Looks at all records by id and returns a reason by id for those to leave out."""


@dataclass(frozen=True)
class Plan:
    """What a stage would make; carried out, as far as needed, when its dataset is saved.

    Attributes:
        stage: Name of the stage, for keys, messages and progress.
        make_worker: Returns the worker; picklable (a module-level class or function, or a
            ``functools.partial`` of one); called once in every worker process.
        sources: Datasets joined by id: there is a task for every id that is in all of them.
        parameters: JSON; exactly those parameters that change the output, as they are part of each key.
        shared: Digest by name of inputs that all tasks have in common (a reference picture, weights).
        modules: Dotted names of the modules (or packages) whose source makes the output.
        batch_size: Tasks for one call of the worker.
        num_workers: Processes that work at a time; see :mod:`skin_pipeline.engines`.
        select: A last pass over all records, to reject items for what others are (duplicates). Only for
            plans without pictures.
        select_key: Digest of what the selection goes by: its limits, its source. Without it the selection is
            made anew in every run.
        explicit_tasks: Set by :meth:`from_tasks`, in place of ``sources``.
    """

    stage: str
    make_worker: Callable[[], Worker]
    sources: Mapping[str, Items] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    batch_size: int = 1
    num_workers: int = 1
    select: Select | None = None
    select_key: str | None = None
    explicit_tasks: tuple[Task, ...] | None = None

    @cached_property
    def key(self) -> str | None:
        """Digest of all that the plan's items are made from and selected by.

        Two equal keys mean that each item has the same key and the selection the same verdict, so that
        nothing needs to be asked of the items one by one. None for explicit tasks, which have no digest, and
        for a selection without a key.
        """
        if self.explicit_tasks is not None or (self.select is not None and self.select_key is None):
            return None
        sources = {name: items.digest for name, items in self.sources.items()}
        return json_digest([self.common_key, sources, self.select_key])

    @cached_property
    def common_key(self) -> str:
        """Digest of what the keys of all items of the plan have in common."""
        modules = {module: source_digest(module) for module in self.modules}
        return json_digest([self.stage, self.parameters, self.shared, modules])

    @classmethod
    def from_tasks(
        cls, stage: str, *, tasks: Iterable[Task], make_worker: Callable[[], Worker], **fields: Any
    ) -> Plan:
        """Plan tasks that are not a join of sources by id (prompts x seeds, drawings from a seed).

        Args:
            stage: Name of the stage.
            tasks: In any order; ids are unique.
            make_worker: Returns the worker; picklable.
            **fields: The plan's other attributes, but for ``sources``.

        Returns:
            The plan.
        """
        return cls(stage, make_worker, explicit_tasks=tuple(tasks), **fields)

    def tasks(self) -> list[Task]:
        """List all tasks of the plan, sorted by id."""
        if self.explicit_tasks is not None:
            return sorted(self.explicit_tasks, key=lambda task: task.id)
        if not self.sources:
            return []
        first, *others = self.sources.values()
        ids = [item_id for item_id in first if all(item_id in other for other in others)]
        return [
            Task(item_id, {name: items[item_id] for name, items in self.sources.items()}) for item_id in ids
        ]


@dataclass(frozen=True)
class Folder:
    """A published folder: a training set, a model's weights.

    Attributes:
        path: Where it lies.
        digest: The sha256 of all names and contents.
        files: sha256 by path inside the folder (``/`` between its parts).
        source_run: Id of the run that made the contents, if known; in no digest.
    """

    path: Path
    digest: str
    files: Mapping[str, str]
    source_run: str | None = None


@dataclass(frozen=True)
class FolderPlan:
    """How to fill a folder; carried out when its dataset is saved.

    Attributes:
        write: Fills the empty folder that it is given. The folder is published under its own name only when
            this has returned.
        key: Digest of all that the folder is made from. A published folder with the same key and all its
            files is left as it is; without a key the folder is always written anew.
        source_run: Id of the run that made the contents, if known. It is kept beside them and is in no
            digest, so that equal contents stay equal whichever run made them.
    """

    write: Callable[[Path], None]
    key: str | None = None
    source_run: str | None = None


@dataclass(frozen=True)
class PagePlan:
    """How to write a page; carried out when its dataset is saved.

    Attributes:
        render: Returns the page.
        key: Digest of all that the page is made from. A page with the same key is left as it is.
    """

    render: Callable[[], str]
    key: str


# --- what makes an item out of date ---------------------------------------------------------------------


SOURCE_SUFFIXES = frozenset({".py", ".jinja2", ".yml"})
"""What a stage's output is made by: code, templates, layouts."""


@cache
def source_digest(module: str) -> str:
    """Digest the source text of a module, or of every module of a package, with their templates and data.

    Args:
        module: Dotted name. The module itself is not imported (its parent packages are).

    Returns:
        sha256 over the names and texts of its files (:data:`SOURCE_SUFFIXES`): those in the package, or
        those beside the module that have its name, as ``page.html.jinja2`` has of ``page.py``.
    """
    spec = importlib.util.find_spec(module)
    assert spec, f"Plan.modules names {module}, which does not exist."
    assert spec.origin, f"Plan.modules names {module}, which has no source file."
    origin = Path(spec.origin)
    is_package = spec.submodule_search_locations is not None
    found = origin.parent.rglob("*") if is_package else origin.parent.glob("*")
    files = sorted(
        file
        for file in found
        if file.suffix in SOURCE_SUFFIXES and (is_package or file.name.partition(".")[0] == origin.stem)
    )
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(origin.parent).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def item_key(plan: Plan, task: Task) -> str:
    """Digest everything that an item is made from.

    Two equal keys mean that the item would come out the same: the stage, its parameters, what all its tasks
    share, the source text of its modules, and the files and records of the task's inputs. Versions of
    libraries are not part of it.

    Args:
        plan: The plan the task belongs to.
        task: One of its tasks.

    Returns:
        sha256, 64 hex digits.
    """
    inputs = {name: [item.sha256, item.record_digest] for name, item in task.inputs.items()}
    return json_digest([plan.common_key, inputs])
