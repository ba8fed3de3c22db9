"""Runs the loop and leaves word of how it ended, where the launcher finds it. Loads no torch by itself."""

import errno
import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from skin_pipeline.errors import SkinPipelineError, StorageError
from skin_pipeline.training.config import TrainingRun
from skin_pipeline.training.lifecycle import EXIT_STOPPED, Stopped

logger = logging.getLogger(__name__)

FILE_NAME = "outcome.json"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Outcome:
    """How one start of a run ended.

    Attributes:
        attempt: Which start.
        status: ``done``, ``stopped`` (a checkpoint is saved; the same command resumes) or ``failed``.
        message: What was wrong, for a failure that a user can mend.
    """

    attempt: str
    status: str
    message: str = ""


def train_to_an_end(run: TrainingRun) -> int:
    """Train, write down the outcome, and return the process's status.

    Raises:
        SkinPipelineError: Training failed for a reason that a user can mend; a full disk is one.
    """
    from skin_pipeline.training.loop import train

    try:
        done = train(run)
    except Stopped:
        done = False
    except SkinPipelineError as exc:
        _write(run, Outcome(run.attempt, "failed", str(exc)))
        raise
    except OSError as exc:
        if exc.errno not in _FULL:
            raise
        error = _full(run, exc)
        _write(run, Outcome(run.attempt, "failed", str(error)))
        raise error from exc
    _write(run, Outcome(run.attempt, "done" if done else "stopped"))
    return 0 if done else EXIT_STOPPED


def read_outcome(folder: Path, attempt: str) -> Outcome | None:
    """Return how a start of a run ended; None if it left no word, as when it was killed."""
    try:
        outcome = Outcome(**json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError):
        return None
    return outcome if outcome.attempt == attempt else None


def _full(run: TrainingRun, exc: OSError) -> StorageError:
    """Return the error of a disk that was full between two checkpoints, as when metrics were written."""
    existing = next(folder for folder in (run.folder, *run.folder.parents) if folder.is_dir())
    free_mib = shutil.disk_usage(existing).free / 2**20
    return StorageError(
        f"Training of run '{run.folder.name}' stopped because nothing more could be written: {exc}."
        f" {free_mib:.0f} MiB are free in '{existing}'. Free some space and run the same command again; it"
        " resumes at the last complete checkpoint."
    )


def _write(run: TrainingRun, outcome: Outcome) -> None:
    """Write the outcome; every process of a training does, so each beside under a name of its own."""
    path = run.folder / FILE_NAME
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(asdict(outcome), ensure_ascii=False), encoding="utf-8")
        beside.replace(path)
    except OSError as exc:  # how training ended matters more than the word of it
        beside.unlink(missing_ok=True)
        logger.warning("The outcome '%s' could not be written down: %s.", outcome.status, exc)
