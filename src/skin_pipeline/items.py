"""Items of a stage, plans to make them, and the engine that carries a plan out.

A stage of this project turns *items* (a skin's picture, its edges, its caption) into other items. A node
does not compute them: it returns a :class:`Plan`, which says what makes an item and from what. The dataset
it is saved to asks which items are missing or out of date (:func:`item_key`), has only those made
(:func:`run_plan`) and stores each one as it comes. Nodes thereby stay pure, memory stays bounded, and a run
that was killed goes on where it stopped.

Convention: pictures are ``uint8`` arrays, (H, W, 3) in RGB or (H, W) grey.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from skin_pipeline.errors import InputError, SkinPipelineError

NAMES_SHOWN = 4
"""An error names this many items of a batch; the rest are counted."""


def canonical_json(value: object) -> str:
    """Write a JSON value in the one form that digests are taken of.

    Args:
        value: Anything JSON can say. NaN and infinities are refused.

    Returns:
        JSON with sorted keys, no spaces and characters beyond ASCII as they are.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    )


def _plain(value: object) -> object:
    """Return the plain form of a mapping that is not a dict; refuse anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON: {value!r}")


def json_digest(value: object) -> str:
    """Return the sha256 (64 hex digits) of a JSON value's canonical form."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


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
        return json_digest(self.record)

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


class Items(Mapping[str, Item]):
    """The items of one dataset, sorted by id, and the ones that were left out.

    Attributes:
        rejected: Reason by id for each item that its stage left out.
    """

    def __init__(self, items: Iterable[Item] = (), rejected: Mapping[str, str] | None = None) -> None:
        """Sort and keep the items.

        Args:
            items: In any order; ids are unique.
            rejected: Reason by id, for ids that are not among the items.
        """
        self._items = {item.id: item for item in sorted(items, key=lambda item: item.id)}
        self.rejected: Mapping[str, str] = dict(sorted((rejected or {}).items()))

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

    @cached_property
    def digest(self) -> str:
        """The sha256 of all ids, files and records; the same wherever the files lie."""
        lines = hashlib.sha256()
        for item in self.values():
            lines.update(f"{item.id}\0{item.sha256}\0{item.record_digest}\n".encode())
        return lines.hexdigest()


@dataclass(frozen=True)
class Output:
    """What a worker makes of one task.

    Attributes:
        record: JSON; kept in the dataset's manifest.
        image: uint8, (H, W, 3) RGB or (H, W); stored as PNG, with 1 bit a pixel when it is (H, W) and holds
            nothing but 0 and 255.
    """

    record: Mapping[str, Any]
    image: np.ndarray | None = None


@dataclass(frozen=True)
class Rejection:
    """A worker's refusal of one task: the item is left out, and the reason is kept.

    Attributes:
        reason: What is wrong with the item, for the user who brought it.
    """

    reason: str


@dataclass(frozen=True)
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
        num_workers: 1 works in this process, more in that many spawned ones.
        select: A last pass over all records, to reject items for what others are (duplicates). Only for
            plans without pictures.
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
    explicit_tasks: tuple[Task, ...] | None = None

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
    """

    path: Path
    digest: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class FolderPlan:
    """How to fill a folder; carried out when its dataset is saved.

    Attributes:
        write: Fills the empty folder that it is given. The folder is published under its own name only when
            this has returned.
        key: Digest of all that the folder is made from. A published folder with the same key and all its
            files is left as it is; without a key the folder is always written anew.
    """

    write: Callable[[Path], None]
    key: str | None = None


# --- what makes an item out of date ---------------------------------------------------------------------


@cache
def source_digest(module: str) -> str:
    """Digest the source text of a module, or of every module of a package.

    Args:
        module: Dotted name. The module itself is not imported (its parent packages are).

    Returns:
        sha256 over the names and texts of its ``.py`` files.
    """
    spec = importlib.util.find_spec(module)
    assert spec, f"Plan.modules names {module}, which does not exist."
    assert spec.origin, f"Plan.modules names {module}, which has no source file."
    origin = Path(spec.origin)
    files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
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


# --- the engine -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """An :class:`Output` ready to be stored.

    Attributes:
        record: JSON.
        content: Bytes of the PNG, if there is a picture.
    """

    record: Mapping[str, Any]
    content: bytes | None = None


OnResult = Callable[[Task, Made | Rejection], None]


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


def run_plan(plan: Plan, tasks: Sequence[Task], on_result: OnResult) -> None:
    """Make items, in this process or in ``plan.num_workers`` spawned ones.

    Results are handed over one by one as they come, in no certain order, and no more than two batches a
    worker are under way, so memory does not grow with the number of tasks.

    Args:
        plan: Says who makes the items, and in what batches.
        tasks: Those of its tasks to carry out; all of them, or what is missing.
        on_result: Called in this process with each task and its result.

    Raises:
        SkinPipelineError: The worker raised one, or a worker process died; the message names the items.
        RuntimeError: The worker raised anything else (a bug); the message names the items.
    """
    batches = [tasks[start : start + plan.batch_size] for start in range(0, len(tasks), plan.batch_size)]
    num_workers = min(plan.num_workers, len(batches))
    if num_workers > 1:
        _run_in_processes(plan, batches, num_workers, on_result)
    elif batches:
        with _naming_items(plan.stage, batches[0]):
            worker = plan.make_worker()
        for batch in batches:
            _hand_over(batch, _run_batch(plan.stage, worker, batch), on_result)


def _hand_over(batch: Sequence[Task], results: Sequence[Made | Rejection], on_result: OnResult) -> None:
    """Report a batch's results one by one."""
    for task, result in zip(batch, results, strict=True):
        on_result(task, result)


def _run_batch(stage: str, worker: Worker, batch: Sequence[Task]) -> list[Made | Rejection]:
    """Have a batch made and its pictures encoded; errors name its items."""
    with _naming_items(stage, batch):
        results = worker(batch)
        assert len(results) == len(batch), f"{len(results)} results for {len(batch)} tasks"
        return [
            result
            if isinstance(result, Rejection)
            else Made(
                json.loads(canonical_json(result.record)),
                None if result.image is None else encode_png(result.image),
            )
            for result in results
        ]


@contextmanager
def _naming_items(stage: str, batch: Sequence[Task]) -> Iterator[None]:
    """Re-raise what a batch raises with the names of its items before the message."""
    try:
        yield
    except SkinPipelineError as exc:
        raise type(exc)(f"Stage '{stage}', {_names(batch)}: {exc}") from exc
    except Exception as exc:
        raise RuntimeError(f"Stage '{stage}' failed on {_names(batch)}: {type(exc).__name__}: {exc}") from exc


def _names(batch: Sequence[Task]) -> str:
    """Name a batch's items, the first few of them if there are many."""
    shown = ", ".join(f"'{task.id}'" for task in batch[:NAMES_SHOWN])
    return shown if len(batch) <= NAMES_SHOWN else f"{shown} and {len(batch) - NAMES_SHOWN} more"


def _run_in_processes(
    plan: Plan, batches: Sequence[Sequence[Task]], num_workers: int, on_result: OnResult
) -> None:
    """Spread batches over spawned processes, with two batches a process under way at most."""
    waiting = iter(batches)
    under_way: dict[Future[list[Made | Rejection]], Sequence[Task]] = {}
    pool = ProcessPoolExecutor(
        num_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker_process,
        initargs=(plan.stage, plan.make_worker),
    )
    try:
        for batch in itertools.islice(waiting, 2 * num_workers):
            under_way[pool.submit(_run_batch_here, batch)] = batch
        while under_way:
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                results = future.result()
                _hand_over(under_way.pop(future), results, on_result)
            for batch in itertools.islice(waiting, len(done)):
                under_way[pool.submit(_run_batch_here, batch)] = batch
    except BrokenProcessPool as exc:
        lost = [task for batch in under_way.values() for task in batch]
        raise SkinPipelineError(
            f"Stage '{plan.stage}': a worker process died (out of memory?) while {_names(lost)} were "
            f"made. Lower num_workers ({plan.num_workers}) or batch_size ({plan.batch_size}) and run the "
            "same command again; what is done is kept."
        ) from exc
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass
class _WorkerProcess:
    """What a spawned process works with: the stage, and its worker once the first batch needs it."""

    stage: str
    make_worker: Callable[[], Worker]
    worker: Worker | None = None


_here: _WorkerProcess | None = None
"""Set in spawned processes only."""


def _start_worker_process(stage: str, make_worker: Callable[[], Worker]) -> None:
    """Prepare a spawned process: one thread, no Ctrl-C of its own, no life after its parent's."""
    global _here  # noqa: PLW0603 - the one thing that a pool's initialiser can leave behind
    _here = _WorkerProcess(stage, make_worker)
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent is gone; a pool's processes would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run_batch_here(batch: Sequence[Task]) -> list[Made | Rejection]:
    """Run a batch in a spawned process; the first one builds the worker, so that its errors come back."""
    assert _here is not None
    if _here.worker is None:
        with _naming_items(_here.stage, batch):
            _here.worker = _here.make_worker()
    return _run_batch(_here.stage, _here.worker, batch)
