"""Checkpoints that are whole or not there.

A run's folder::

    run.json                         what the run is: parameters that decide its weights, data, base model
    checkpoints/step_00000100/
        state/                       what resuming needs: weights, optimizer, moving average, generators
            training.json            resolved parameters, digests, step
        weights/                     what inference needs: save_pretrained of the ControlNet
            training.json            the same
        COMPLETE                     names and sizes of all the above; written last
    weights/                         a copy of the last step's

A checkpoint is written as ``.step_….writing`` by all processes, brought to the disk, renamed, and only then
marked complete; older ones go after that. One without its mark, or with a file of another size than the mark
says, does not exist for a resumption. Where ``state`` and ``weights`` hold the same file, which without a
moving average they do, it is stored once, under two names.
"""

import contextlib
import filecmp
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

    def path_of(self, step: int) -> Path:
        """Return where the checkpoint of a step is, or would be."""
        return self._folder / f"{_PREFIX}{step:08d}"

    def report_incomplete(self) -> None:
        """Warn of each checkpoint that is not complete, and say what it lacks."""
        for path in sorted(self._folder.glob(f"*{_PREFIX}*")):
            if fault := fault_of(path):
                logger.warning("Checkpoint '%s' is not complete and is left out: %s.", path.name, fault)

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

        A complete one of the same step stays as it is: what it holds follows from the run and the step.

        Args:
            step: Optimizer steps made.
            record: Written as training.json.
            save_state: Writes what resuming needs into a folder; called by all processes.
            save_weights: Writes what inference needs into a folder; called by all processes, of which the
                main one writes.
            is_main: Whether this is the main process.
            wait: Returns when all processes have called it.

        Returns:
            The complete checkpoint.

        Raises:
            StorageError: It could not be written; what was there before is untouched.
        """
        path = self.path_of(step)
        writing = self._folder / f".{path.name}.writing"
        try:
            wait()
            if is_main:
                shutil.rmtree(writing, ignore_errors=True)
                for part in (STATE, WEIGHTS):
                    (writing / part).mkdir(parents=True)
            wait()
            save_state(writing / STATE)
            save_weights(writing / WEIGHTS)
            wait()
            if is_main:
                for part in (STATE, WEIGHTS):
                    write_record(writing / part, record)
                _store_once(writing / STATE, writing / WEIGHTS)
                _publish(writing, path)
                self._remove_old()
            wait()
        except Exception as exc:  # the libraries that write raise their own kinds for a full disk
            if is_main:
                shutil.rmtree(writing, ignore_errors=True)
            raise self._not_written(step, exc) from exc
        return path

    def _not_written(self, step: int, exc: Exception) -> StorageError:
        latest = self.latest()
        existing = self._folder if self._folder.is_dir() else self._folder.parent
        free_mib = shutil.disk_usage(existing).free / 2**20
        return StorageError(
            f"The checkpoint of step {step} could not be written: {exc}. Last complete checkpoint:"
            f" {latest.name if latest else 'none'}. Free space in '{self._folder}' ({free_mib:.0f} MiB are"
            " free) and run the same command again; it resumes."
        )

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
    return fault_of(checkpoint) is None


def fault_of(checkpoint: Path) -> str | None:
    """Say what a checkpoint lacks; None when it is complete."""
    try:
        sizes = json.loads((checkpoint / MARK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "it has no mark, so it was being written or removed"
    except (OSError, ValueError) as exc:
        return f"its mark cannot be read ({exc})"
    for name, size in sizes.items():
        try:
            found = (checkpoint / name).stat().st_size
        except OSError as exc:
            return f"{name} is not there ({exc.strerror})"
        if found != size:
            return f"{name} has {found} bytes, {size} expected"
    return None


def step_of(checkpoint: Path) -> int:
    """Return the optimizer steps made when a checkpoint was written."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def _publish(writing: Path, path: Path) -> None:
    """Bring files and names to the disk, rename the folder, and mark it complete.

    A complete checkpoint of the same step stays; one that is not goes.
    """
    if is_complete(path):
        shutil.rmtree(writing)
        return
    shutil.rmtree(path, ignore_errors=True)
    contents = sorted(writing.rglob("*"))
    for some in (*contents, writing):
        _sync(some)
    files = [file for file in contents if file.is_file()]
    sizes = {file.relative_to(writing).as_posix(): file.stat().st_size for file in files}
    writing.replace(path)
    _sync(path.parent)
    beside = path / f".{MARK}"
    beside.write_text(json.dumps(sizes, indent=1), encoding="utf-8")
    _sync(beside)
    beside.replace(path / MARK)
    _sync(path)


def _store_once(state: Path, weights: Path) -> None:
    """Have a file of ``weights`` that is also one of ``state`` be that file, where the disk knows links."""
    for file in weights.glob("*.safetensors"):
        for same in state.glob("*.safetensors"):
            if filecmp.cmp(file, same, shallow=False):
                linked = file.with_name(f".{file.name}.link")
                with contextlib.suppress(OSError):
                    linked.hardlink_to(same)
                    linked.replace(file)
                break


def _sync(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk."""
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
    """Copy a complete checkpoint's weights and record to the run's ``weights``, whole or not at all.

    Raises:
        StorageError: They could not be written; the checkpoint holds them, and those of before stay.
    """
    final, beside = run_folder / WEIGHTS, run_folder / f".{WEIGHTS}.writing"
    try:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(checkpoint / WEIGHTS, beside)
        shutil.rmtree(final, ignore_errors=True)
        beside.replace(final)
    except (OSError, shutil.Error) as exc:
        shutil.rmtree(beside, ignore_errors=True)
        raise StorageError(
            f"The weights of '{checkpoint.name}' could not be copied to '{final}': {exc}. Free space there"
            f" and run the same command again; until then they are in '{checkpoint / WEIGHTS}'."
        ) from exc
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


def check_shared(run_folder: Path, process_index: int) -> None:
    """Check that a process sees what the main one has written into the run's folder.

    Raises:
        StorageError: It does not: the processes are on machines that do not share the folder.
    """
    if not (run_folder / "run.json").is_file():
        raise StorageError(
            f"Process {process_index} does not see '{run_folder / 'run.json'}', which the main process wrote."
            " All machines of a training must see train.run_folder under the same path; put it on a shared"
            " disk."
        )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted names."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat = {}
    for name, inner in value.items():
        flat.update(_flat(inner, f"{prefix}.{name}" if prefix else name))
    return flat
