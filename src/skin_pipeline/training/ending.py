"""Runs the loop and leaves word of how it ended, where the launcher finds it. Loads no torch by itself."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from skin_pipeline.errors import SkinPipelineError
from skin_pipeline.training.config import TrainingRun
from skin_pipeline.training.lifecycle import EXIT_STOPPED, Stopped

FILE_NAME = "outcome.json"


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
    """Train, write down the outcome, and return the process's status."""
    from skin_pipeline.training.loop import train

    try:
        done = train(run)
    except Stopped:
        done = False
    except SkinPipelineError as exc:
        _write(run, Outcome(run.attempt, "failed", str(exc)))
        raise
    _write(run, Outcome(run.attempt, "done" if done else "stopped"))
    return 0 if done else EXIT_STOPPED


def read_outcome(folder: Path, attempt: str) -> Outcome | None:
    """Return how a start of a run ended; None if it left no word, as when it was killed."""
    try:
        outcome = Outcome(**json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError):
        return None
    return outcome if outcome.attempt == attempt else None


def _write(run: TrainingRun, outcome: Outcome) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    path = run.folder / FILE_NAME
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(asdict(outcome), ensure_ascii=False), encoding="utf-8")
    beside.replace(path)
