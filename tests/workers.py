"""Workers for tests of the engine; in a module, so that spawned processes can import them."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skin_pipeline.errors import InputError
from skin_pipeline.items import Output, Rejection, Task, Worker


class Thresholder:
    """Makes a 1-bit picture of a source's brightness, and notes each item it works on."""

    def __init__(self, threshold: int = 128, log: Path | None = None, delay_seconds: float = 0.0) -> None:
        self.threshold = threshold
        self.log = log
        self.delay_seconds = delay_seconds

    def __call__(self, tasks: Sequence[Task]) -> list[Output | Rejection]:
        return [self.make(task) for task in tasks]

    def make(self, task: Task) -> Output | Rejection:
        if self.log is not None:
            with self.log.open("a") as log:
                log.write(f"{task.id} {os.getpid()}\n")
        time.sleep(self.delay_seconds)
        if task.id.startswith("bad"):
            return Rejection("it is bad")
        grey = task.inputs["skin"].load_image().mean(axis=2)
        image = np.where(grey > self.threshold, 255, 0).astype(np.uint8)
        return Output({"share": float((image > 0).mean())}, image)


class Crasher(Thresholder):
    """Ends its process, as a broken library would, at one item; the first few times, or each time."""

    def __init__(self, crash_at: str, log: Path, num_crashes: int | None = None) -> None:
        super().__init__(log=log)
        self.crash_at = crash_at
        self.num_crashes = num_crashes

    def make(self, task: Task) -> Output | Rejection:
        made = super().make(task)
        assert self.log is not None
        tries = sum(line.split()[0] == self.crash_at for line in self.log.read_text().splitlines())
        if task.id == self.crash_at and (self.num_crashes is None or tries <= self.num_crashes):
            ctypes.string_at(0)  # reads where nothing is
        return made


class Namer:
    """Makes a record of a task's id."""

    def __call__(self, tasks: Sequence[Task]) -> list[Output]:
        return [Output({"name": task.id, "initial": task.id[0]}) for task in tasks]


def broken(tasks: Sequence[Task]) -> list[Output]:
    """Have a bug."""
    raise ZeroDivisionError(f"{len(tasks)} tasks")


def complaining(tasks: Sequence[Task]) -> list[Output]:
    """Find something that the user can mend."""
    raise InputError("the file is empty")


def dying(tasks: Sequence[Task]) -> list[Output]:
    """End the process as the kernel would."""
    os._exit(9)


def give(worker: Worker) -> Worker:
    """Be a picklable ``make_worker`` for a worker that needs no loading."""
    return worker


def make_without_weights() -> Worker:
    """Fail to load a model."""
    raise InputError("there are no weights")
