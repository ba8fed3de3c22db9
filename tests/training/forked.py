"""Trainers in processes of their own, which really die: forked from one that has loaded all libraries.

A trainer started this way is at its first step within half a second of processor time, so that a test can
afford a hundred of them.
"""

import json
import logging
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from skin_pipeline.training.config import TrainingRun

_WAIT_SECONDS = 1800.0
_FILE_OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link"}
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["pytest", "skin_pipeline.training.loop"])

Prepare = Callable[[TrainingRun], None]
"""Changes the trainer's program before it starts, in its own process; a function of a module."""


def start(run: TrainingRun, *prepare: Prepare, **variables: str) -> BaseProcess:
    """Start a trainer; its log goes to the run's folder."""
    run.folder.mkdir(parents=True, exist_ok=True)
    process = _context.Process(target=_train, args=(run, prepare, variables))
    process.start()
    return process


def train(run: TrainingRun, *prepare: Prepare) -> int:
    """Run a trainer to its end; return its status, negative for the signal that killed it."""
    return wait(start(run, *prepare))


def train_with_processes(run: TrainingRun, count: int, *prepare: Prepare) -> list[int]:
    """Run a training of several processes joined by gloo; return their statuses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    together = {"ACCELERATE_USE_CPU": "1", "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    together |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    run = run.model_copy(update={"num_processes": count})
    trainers = [
        start(run, *prepare, **together, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(count)
    ]
    return [wait(trainer) for trainer in trainers]


def wait(process: BaseProcess) -> int:
    process.join(_WAIT_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"the trainer was not done after {_WAIT_SECONDS} s")
    return process.exitcode


def kill_after(process: BaseProcess, cpu_seconds: float) -> int:
    """Kill a trainer with SIGKILL once it has used so much processor time; return its status."""
    trainer = psutil.Process(process.pid)
    while process.exitcode is None:
        try:
            times = trainer.cpu_times()
        except psutil.NoSuchProcess:
            break
        if times.user + times.system >= cpu_seconds:
            process.kill()
        time.sleep(0.005)
    return wait(process)


def log_of(run: TrainingRun) -> str:
    """Return what all trainers of a run have logged."""
    return (run.folder / "log.txt").read_text(encoding="utf-8")


def _train(run: TrainingRun, prepare: tuple[Prepare, ...], variables: dict[str, str]) -> None:
    os.environ.update(variables)
    log = os.open(run.folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    from skin_pipeline.training.ending import train_to_an_end

    for change in prepare:
        change(run)
    sys.exit(train_to_an_end(run))


# --- changes --------------------------------------------------------------------------------------------


class NotingSamples:
    """Has a trainer note the pictures of each step, so that every one is seen and not only reported ones."""

    def __call__(self, run: TrainingRun) -> None:
        """Listen to the loop's steps."""
        from skin_pipeline.training import loop

        make_step = loop._Training.step

        def noted(training: Any, step: int, *args: Any) -> Any:
            made = make_step(training, step, *args)
            with (run.folder / f"seen_{training.accelerator.process_index}.jsonl").open("a") as file:
                file.write(json.dumps([step, list(made.sample_ids)]) + "\n")
            return made

        loop._Training.step = noted


def samples_seen(run: TrainingRun, rank: int = 0) -> dict[int, list[str]]:
    """Return the pictures of each step; one that was made twice must have had the same ones both times."""
    seen: dict[int, list[str]] = {}
    text = (run.folder / f"seen_{rank}.jsonl").read_text(encoding="utf-8")
    for line in text[: text.rfind("\n") + 1].splitlines():
        step, sample_ids = json.loads(line)
        assert seen.setdefault(step, sample_ids) == sample_ids, f"step {step} was made with other pictures"
    return seen


class StoppingAt:
    """Asks a trainer to end, as SIGTERM does, in the step that makes so many."""

    def __init__(self, steps: int) -> None:
        """Say how many steps are to be made."""
        self.steps = steps

    def __call__(self, _run: TrainingRun) -> None:
        """Send the signal from within the step."""
        from skin_pipeline.training import loop

        make_step = loop._Training.step

        def stopping(training: Any, step: int, *args: Any) -> Any:
            if step + 1 == self.steps:
                os.kill(os.getpid(), signal.SIGTERM)
            return make_step(training, step, *args)

        loop._Training.step = stopping


class KillingInSave:
    """Kills a trainer inside the save of a checkpoint: before its n-th file operation, or after a while.

    File operations are those that Python tells of (open, mkdir, rename, remove, rmdir); what libraries write
    natively lies between them and is reached by the other way.
    """

    def __init__(self, save_number: int, operation: int | None = None, seconds: float | None = None) -> None:
        """Say where to kill; with neither an operation nor a time, only measure the save.

        Args:
            save_number: Which save of the trainer, from 1.
            operation: Before which file operation, from 0.
            seconds: How long after the save began.
        """
        self.save_number, self.operation, self.seconds = save_number, operation, seconds

    def __call__(self, run: TrainingRun) -> None:
        """Listen to saves."""
        from skin_pipeline.training import loop

        save, number = loop.Checkpoints.save, 0

        def killed(*args: Any, **kwargs: Any) -> Any:
            nonlocal number
            number += 1
            if number != self.save_number:
                return save(*args, **kwargs)
            (run.folder / "save.txt").write_text("in")
            done = self._arm(run)
            result = save(*args, **kwargs)
            done()
            if self.seconds is not None:  # the save was over first; another trainer will have better luck
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        loop.Checkpoints.save = killed

    def _arm(self, run: TrainingRun) -> Callable[[], None]:
        operations, began, is_over = [0], time.perf_counter(), [False]

        def hook(event: str, _args: tuple[Any, ...]) -> None:
            if is_over[0] or event not in _FILE_OPERATIONS:
                return
            if operations[0] == self.operation:
                os.kill(os.getpid(), signal.SIGKILL)
            operations[0] += 1

        def done() -> None:
            is_over[0] = True
            took = time.perf_counter() - began
            (run.folder / "save.txt").write_text(json.dumps([operations[0], took]))

        sys.addaudithook(hook)
        if self.seconds is not None:
            threading.Thread(target=self._kill_later, args=(self.seconds, is_over), daemon=True).start()
        return done

    @staticmethod
    def _kill_later(seconds: float, is_over: list[bool]) -> None:
        time.sleep(seconds)
        if not is_over[0]:
            os.kill(os.getpid(), signal.SIGKILL)


def died_in_save(run: TrainingRun) -> bool:
    """Tell whether the last trainer was killed inside a save."""
    return (run.folder / "save.txt").read_text() == "in"


def draws(seed: int) -> random.Random:
    """Return a generator for points to kill at, the same in each run of a test."""
    return random.Random(seed)  # noqa: S311 - no secret
