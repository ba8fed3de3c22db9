"""The engine of one machine: this process, or spawned ones."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import cv2

from skin_pipeline.engines.batches import BatchMaker, Made, OnResult, name_items, split_into_batches
from skin_pipeline.errors import SkinPipelineError
from skin_pipeline.items import Plan, Rejection, Task, Worker


class LocalEngine:
    """Makes items in this process, or in ``plan.num_workers`` spawned ones."""

    def preflight(self) -> None:
        """Need nothing."""

    def run(self, plan: Plan, tasks: Sequence[Task], on_result: OnResult) -> None:
        """Make items; see :meth:`skin_pipeline.engines.Engine.run`.

        No more than two batches a worker are under way.
        """
        batches = split_into_batches(plan, tasks)
        num_workers = min(plan.num_workers, len(batches))
        if num_workers > 1:
            _run_in_processes(plan, batches, num_workers, on_result)
            return
        make_batch = BatchMaker(plan.stage, plan.make_worker)
        for batch in batches:
            _hand_over(batch, make_batch(batch), on_result)


def _hand_over(batch: Sequence[Task], results: Sequence[Made | Rejection], on_result: OnResult) -> None:
    """Report a batch's results one by one."""
    for task, result in zip(batch, results, strict=True):
        on_result(task, result)


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
            under_way[pool.submit(_make_batch_here, batch)] = batch
        while under_way:
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                results = future.result()
                _hand_over(under_way.pop(future), results, on_result)
            for batch in itertools.islice(waiting, len(done)):
                under_way[pool.submit(_make_batch_here, batch)] = batch
    except BrokenProcessPool as exc:
        lost = [task for batch in under_way.values() for task in batch]
        raise SkinPipelineError(
            f"Stage '{plan.stage}': a worker process died (out of memory?) while {name_items(lost)} were "
            f"made. Lower num_workers ({plan.num_workers}) or batch_size ({plan.batch_size}) and run the "
            "same command again; what is done is kept."
        ) from exc
    finally:
        pool.shutdown(cancel_futures=True)


_make_batch: BatchMaker | None = None
"""Set in spawned processes only."""


def _start_worker_process(stage: str, make_worker: Callable[[], Worker]) -> None:
    """Prepare a spawned process: one thread, no Ctrl-C of its own, no life after its parent's."""
    global _make_batch  # noqa: PLW0603 - the one thing that a pool's initialiser can leave behind
    _make_batch = BatchMaker(stage, make_worker)
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent is gone; a pool's processes would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _make_batch_here(batch: Sequence[Task]) -> list[Made | Rejection]:
    """Make a batch in a spawned process."""
    assert _make_batch is not None
    return _make_batch(batch)
