"""What all engines have in common: batches of tasks, and how a process makes one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from skin_pipeline.errors import SkinPipelineError
from skin_pipeline.items import Plan, Rejection, Task, Worker, canonical_json, encode_png

NAMES_SHOWN = 4
"""An error names this many items of a batch; the rest are counted."""


@dataclass(frozen=True)
class Made:
    """An :class:`~skin_pipeline.items.Output` ready to be stored.

    Attributes:
        record: JSON.
        content: Bytes of the item's file, if it has one: of the PNG, if that is a picture.
    """

    record: Mapping[str, Any]
    content: bytes | None = None


OnResult = Callable[[Task, Made | Rejection], None]
"""Takes one task and its result, in the process that called :meth:`Engine.run`."""


class Engine(Protocol):
    """Carries out plans."""

    def preflight(self) -> None:
        """Raise if the engine cannot work on this machine; starts nothing.

        Raises:
            ConfigurationError: Something that the engine needs is not installed.
        """

    def run(self, plan: Plan, tasks: Sequence[Task], on_result: OnResult) -> None:
        """Make items.

        Results are handed over one by one as they come, in no certain order. What is under way at a time is
        limited, so memory does not grow with the number of tasks.

        Args:
            plan: Says who makes the items, in what batches and by how many workers.
            tasks: Those of its tasks to carry out; all of them, or what is missing.
            on_result: Called in this process with each task and its result.

        Raises:
            SkinPipelineError: The worker raised one, or worker processes died; the message names the items.
            RuntimeError: The worker raised anything else (a bug); the message names the items.
        """


class BatchMaker:
    """Makes the batches of one stage in this process, with a worker that the first of them builds."""

    def __init__(self, stage: str, make_worker: Callable[[], Worker]) -> None:
        """Keep what builds the worker.

        Args:
            stage: Name of the stage, for messages.
            make_worker: Returns the worker; it may load a model, for which the first batch waits.
        """
        self._stage = stage
        self._make_worker = make_worker
        self._worker: Worker | None = None

    def __call__(self, batch: Sequence[Task]) -> list[Made | Rejection]:
        """Make a batch and encode its pictures.

        Args:
            batch: Tasks for one call of the worker.

        Returns:
            One result a task, in the tasks' order.

        Raises:
            SkinPipelineError: The worker raised one; the items are named before its message.
            RuntimeError: The worker raised anything else.
        """
        with _naming_items(self._stage, batch):
            if self._worker is None:
                self._worker = self._make_worker()
            results = self._worker(batch)
            assert len(results) == len(batch), f"{len(results)} results for {len(batch)} tasks"
            return [
                result
                if isinstance(result, Rejection)
                else Made(
                    json.loads(canonical_json(result.record)),
                    result.content if result.image is None else encode_png(result.image),
                )
                for result in results
            ]


def split_into_batches(plan: Plan, tasks: Sequence[Task]) -> list[Sequence[Task]]:
    """Cut tasks, in their order, into the batches that a plan's worker takes."""
    return [tasks[start : start + plan.batch_size] for start in range(0, len(tasks), plan.batch_size)]


def name_items(tasks: Sequence[Task]) -> str:
    """Name tasks' items, the first few of them if there are many."""
    shown = ", ".join(f"'{task.id}'" for task in tasks[:NAMES_SHOWN])
    return shown if len(tasks) <= NAMES_SHOWN else f"{shown} and {len(tasks) - NAMES_SHOWN} more"


@contextmanager
def _naming_items(stage: str, batch: Sequence[Task]) -> Iterator[None]:
    """Re-raise what a batch raises with the names of its items before the message."""
    try:
        yield
    except SkinPipelineError as exc:
        raise type(exc)(f"Stage '{stage}', {name_items(batch)}: {exc}") from exc
    except Exception as exc:
        raise RuntimeError(
            f"Stage '{stage}' failed on {name_items(batch)}: {type(exc).__name__}: {exc}"
        ) from exc
