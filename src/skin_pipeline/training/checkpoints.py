"""Checkpoints that are whole or not there.

A run's folder::

    run.json                         what the run is: parameters that decide its weights, data, base model
    checkpoints/step_00000100/
        state/                       what resuming needs: weights, optimizer, moving average, generators
        weights/                     what inference needs: save_pretrained of the ControlNet
        training.json                resolved parameters, digests, step
        COMPLETE                     names and sizes of all the above; written last
    weights/                         the last step's weights and training.json

A checkpoint is written as ``.step_….writing`` by all processes, renamed, and only then marked complete. One
without its mark, or with a file shorter than the mark says, does not exist for a resumption.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from skin_pipeline.errors import ConfigurationError, StorageError

logger = logging.getLogger(__name__)

MARK = "COMPLETE"
STATE, WEIGHTS, RECORD = "state", "weights", "training.json"
_PREFIX = "step_"


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, run_folder: Path, total_limit: int | None) -> None:
        """Look after a run's checkpoints.

        Args:
            run_folder: The run's folder.
            total_limit: Complete checkpoints to keep; None: all.
        """
        self._folder = run_folder / "checkpoints"
        self._total_limit = total_limit

    def complete(self) -> list[Path]:
        """Return the complete checkpoints, oldest first."""
        return [path for path in sorted(self._folder.glob(f"{_PREFIX}*")) if is_complete(path)]

    def latest(self) -> Path | None:
        """Return the newest complete checkpoint, or None."""
        complete = self.complete()
        return complete[-1] if complete else None

    def save(
        self,
        step: int,
        record: Mapping[str, Any],
        save_state: Callable[[Path], None],
        save_weights: Callable[[Path], None],
        is_main: bool,
        wait: Callable[[], None],
    ) -> Path:
        """Write a checkpoint; called by all processes.

        Args:
            step: Optimizer steps made.
            record: Written as training.json.
            save_state: Writes what resuming needs into a folder; called by all processes.
            save_weights: Writes what inference needs into a folder; called by the main process.
            is_main: Whether this is the main process.
            wait: Returns when all processes have called it.

        Returns:
            The complete checkpoint.

        Raises:
            StorageError: It could not be written; what was there before is untouched.
        """
        path = self._folder / f"{_PREFIX}{step:08d}"
        writing = self._folder / f".{path.name}.writing"
        try:
            if is_main:
                for stale in (writing, path):
                    shutil.rmtree(stale, ignore_errors=True)
                (writing / STATE).mkdir(parents=True)
            wait()
            save_state(writing / STATE)
            wait()
            if is_main:
                save_weights(writing / WEIGHTS)
                write_record(writing, record)
                _publish(writing, path)
                self._remove_old()
            wait()
        except Exception as exc:  # the libraries that write raise their own kinds for a full disk
            if is_main:
                shutil.rmtree(writing, ignore_errors=True)
            latest = self.latest()
            raise StorageError(
                f"The checkpoint of step {step} could not be written: {exc}. Last complete checkpoint:"
                f" {latest.name if latest else 'none'}. Free space in '{self._folder}' and run the same"
                " command again; it resumes."
            ) from exc
        return path

    def _remove_old(self) -> None:
        complete = self.complete()
        for path in complete[: -self._total_limit] if self._total_limit else []:
            (path / MARK).unlink()  # first, so that a half-removed one does not count
            shutil.rmtree(path, ignore_errors=True)
        for path in self._folder.iterdir():
            if not is_complete(path):
                shutil.rmtree(path, ignore_errors=True)


def is_complete(checkpoint: Path) -> bool:
    """Tell whether a checkpoint has its mark and all files that the mark names, at their full sizes."""
    try:
        sizes = json.loads((checkpoint / MARK).read_text(encoding="utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, json.JSONDecodeError):
        return False


def step_of(checkpoint: Path) -> int:
    """Return the optimizer steps made when a checkpoint was written."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def _publish(writing: Path, path: Path) -> None:
    """Bring the files to disk, rename the folder, and mark it complete."""
    files = sorted(file for file in writing.rglob("*") if file.is_file())
    for file in files:
        _sync(file)
    sizes = {file.relative_to(writing).as_posix(): file.stat().st_size for file in files}
    writing.replace(path)
    _sync(path.parent)
    beside = path / f".{MARK}"
    beside.write_text(json.dumps(sizes, indent=1), encoding="utf-8")
    _sync(beside)
    beside.replace(path / MARK)
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write training.json, the same bytes for the same record."""
    text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / RECORD).write_text(text, encoding="utf-8")


def publish_weights(checkpoint: Path, run_folder: Path) -> Path:
    """Copy a complete checkpoint's weights and record to the run's ``weights``, whole or not at all."""
    final, beside = run_folder / WEIGHTS, run_folder / f".{WEIGHTS}.writing"
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(checkpoint / WEIGHTS, beside)
    shutil.copy2(checkpoint / RECORD, beside / RECORD)
    shutil.rmtree(final, ignore_errors=True)
    beside.replace(final)
    return final


def check_identity(run_folder: Path, identity: Mapping[str, Any]) -> None:
    """Compare a run with what its folder was begun with; write that down for a new one.

    Args:
        run_folder: The run's folder.
        identity: Nested; what decides the weights.

    Raises:
        ConfigurationError: The folder was begun with another one; the message lists the differences.
    """
    path = run_folder / "run.json"
    if not path.is_file():
        beside = path.with_suffix(".tmp")
        beside.write_text(json.dumps(identity, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(path)
        return
    begun = _flat(json.loads(path.read_text(encoding="utf-8")))
    now = _flat(json.loads(json.dumps(identity)))
    differences = [
        f"{name}: {begun.get(name, 'absent')!r} -> {now.get(name, 'absent')!r}"
        for name in sorted(begun.keys() | now.keys())
        if begun.get(name) != now.get(name)
    ]
    if differences:
        raise ConfigurationError(
            f"Run '{run_folder.name}' was begun with something else and cannot resume. Then -> now:"
            f" {'; '.join(differences)}. Set these back, or choose another train.run_name."
        )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted names."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat = {}
    for name, inner in value.items():
        flat.update(_flat(inner, f"{prefix}.{name}" if prefix else name))
    return flat
