"""How a training process ends: when asked to, when its parent is gone, never twice in one folder."""

import fcntl
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

import psutil

from skin_pipeline.errors import TrainingError

logger = logging.getLogger(__name__)

PARENT_VARIABLE = "SKIN_PIPELINE_TRAINING_PARENT"
"""Names the process that training must not outlive, as ``pid:time it was started``."""
EXIT_STOPPED = 75
"""Status of a training process that was asked to end and saved a checkpoint (EX_TEMPFAIL: try again)."""
EXIT_ORPHANED = 76
"""Status of one whose parent was gone and that could not end in time."""
_POLL_SECONDS = 0.5
_ORPHAN_GRACE_SECONDS = 30.0
_LOCK_WAIT_SECONDS = 40.0


class Stopped(Exception):  # noqa: N818 - no error: somebody asked for it
    """Training was asked to end before its first step, where there is nothing to save."""


class StopRequest:
    """Whether somebody asked this process to end: SIGTERM, SIGINT, or the death of the parent."""

    def __init__(self) -> None:
        """Start with no request."""
        self._event = threading.Event()
        self.reason = ""

    def set(self, reason: str) -> None:
        """Ask; the first reason stays."""
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    def __bool__(self) -> bool:
        """Tell whether somebody asked."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise :class:`Stopped` if somebody asked."""
        if self:
            raise Stopped(self.reason)


def process_mark(pid: int) -> str:
    """Return what tells a process from a later one with its number."""
    return f"{pid}:{psutil.Process(pid).create_time():.2f}"


def is_alive(mark: str) -> bool:
    """Tell whether the process of a mark still runs."""
    pid = int(mark.partition(":")[0])
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and process_mark(pid) == mark
    except psutil.NoSuchProcess:
        return False


@contextmanager
def listening_for_stop() -> Iterator[StopRequest]:
    """Turn SIGTERM, SIGINT and the parent's death into a request that the loop sees between steps.

    Once the parent is gone the process has 30 seconds to save and end; then it is ended hard.
    """
    request = StopRequest()
    before = {}
    if threading.current_thread() is threading.main_thread():

        def on_signal(number: int, _frame: FrameType | None) -> None:
            request.set(signal.Signals(number).name)

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    done = threading.Event()
    parent = os.environ.get(PARENT_VARIABLE)
    if parent:
        threading.Thread(
            target=_watch, args=(parent, request, done), name="parent-watch", daemon=True
        ).start()
    try:
        yield request
    finally:
        done.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(parent: str, request: StopRequest, done: threading.Event) -> None:
    while not done.wait(_POLL_SECONDS):
        if not is_alive(parent):
            logger.warning("The process that started this training is gone; saving and ending.")
            request.set("parent gone")
            if not done.wait(_ORPHAN_GRACE_SECONDS):
                os._exit(EXIT_ORPHANED)
            return


@contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Hold a run's folder against a second training; the system lets go of it when the process dies.

    Raises:
        TrainingError: Another process still holds it after 40 seconds (a run that is ending needs a moment).
    """
    with (folder / ".lock").open("a") as file:
        _lock(file, folder)
        yield


def _lock(file: IO[str], folder: Path) -> None:
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if time.monotonic() > deadline:
                raise TrainingError(
                    f"Run '{folder.name}' is being trained by another process. Wait for it to end, or set"
                    " train.run_name to train beside it."
                ) from exc
            time.sleep(_POLL_SECONDS)
        else:
            return
