"""The lock that a run holds on its data folder; tests/integration/test_two_runs.py has two real commands."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

import pytest

from skin_pipeline.datasets.atomic import LockHeldError, take_lock
from skin_pipeline.errors import StorageError
from skin_pipeline.hooks import WorkspaceHook

RUN = {"pipeline_names": ["data_prep"]}


def hook_for(project: Path, data_root: str | None = None) -> WorkspaceHook:
    """Return a hook as a context of the project sets it up."""
    loader = type("Loader", (dict,), {})(globals={"data_root": "data"})
    loader.runtime_params = None if data_root is None else {"data_root": data_root}
    hook = WorkspaceHook()
    hook.after_context_created(SimpleNamespace(config_loader=loader, project_path=project))
    return hook


def test_a_second_run_is_told_who_works_there(tmp_path: Path) -> None:
    first, second = hook_for(tmp_path), hook_for(tmp_path)
    first.before_pipeline_run(RUN)
    holder = rf"pipeline data_prep, process {os.getpid()} on {socket.gethostname()}"
    said = rf"data is in use by another run \({holder}"
    with pytest.raises(StorageError, match=said + r", running since \d{4}-.*Wait for it to end, or stop it"):
        second.before_pipeline_run({"pipeline_names": None})
    first.after_pipeline_run()


@pytest.mark.parametrize("end", ["after_pipeline_run", "on_pipeline_error"])
def test_the_lock_ends_with_the_run(tmp_path: Path, end: str) -> None:
    first, second = hook_for(tmp_path), hook_for(tmp_path)
    first.before_pipeline_run(RUN)
    getattr(first, end)()
    second.before_pipeline_run(RUN)
    second.after_pipeline_run()


def test_a_run_that_failed_before_its_first_node_does_not_lock_out_the_next(tmp_path: Path) -> None:
    hook = hook_for(tmp_path)
    hook.before_pipeline_run(RUN)
    hook.before_pipeline_run(RUN)
    hook.after_pipeline_run()


def test_runs_in_other_folders_do_not_meet(tmp_path: Path) -> None:
    first, second = hook_for(tmp_path), hook_for(tmp_path, str(tmp_path / "elsewhere"))
    first.before_pipeline_run(RUN)
    second.before_pipeline_run(RUN)
    for hook in (first, second):
        hook.after_pipeline_run()


def test_programs_that_a_run_starts_do_not_hold_its_lock(tmp_path: Path) -> None:
    lock = take_lock(tmp_path / ".lock", "a run")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    lock.close()
    try:
        take_lock_soon(tmp_path / ".lock").close()
        assert child.poll() is None, "the program ran on while the lock was taken"
    finally:
        child.communicate(b"\n")


def take_lock_soon(path: Path) -> TextIO:
    """Take a lock that a starting program may hold for a moment, until its files are closed."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return take_lock(path, "the next run")
        except LockHeldError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"data cannot be written"):
        hook_for(tmp_path).before_pipeline_run(RUN)
