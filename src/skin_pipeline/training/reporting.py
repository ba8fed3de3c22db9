"""Hands a run's metrics and pictures on to MLflow. Loads no torch, and MLflow only when it is used.

MLflow may be slow, down or dying: training never waits for it. What it did not take is kept and offered
again.
"""

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

from skin_pipeline.training.metrics import Row

logger = logging.getLogger(__name__)

_BATCH_ROWS = 900
"""MLflow takes at most 1000 metrics at once."""
_FLUSH_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 60.0
_FINAL_SECONDS = 30.0
_NOT_METRICS = frozenset({"step"})


class Sink(Protocol):
    """Where metrics and pictures go; each method may fail, and is then called again with the same things."""

    def log_metrics(self, metrics: list[tuple[str, float, int, int]]) -> None:
        """Take metrics: name, value, time in ms, step."""

    def log_picture(self, path: Path) -> None:
        """Take a picture's file, whose name says the step."""


class MlflowSink:
    """An MLflow run, by its id, so that it works from any thread and does not end the run."""

    def __init__(self, tracking_uri: str, run_id: str) -> None:
        """Connect to a run.

        Args:
            tracking_uri: The store of the run.
            run_id: The run.
        """
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri)
        self._run_id = run_id

    def log_metrics(self, metrics: list[tuple[str, float, int, int]]) -> None:
        """Log metrics in one request."""
        from mlflow.entities import Metric

        self._client.log_batch(self._run_id, metrics=[Metric(*metric) for metric in metrics])

    def log_picture(self, path: Path) -> None:
        """Log a picture as an artifact under training_pictures/."""
        self._client.log_artifact(self._run_id, str(path), "training_pictures")


def active_mlflow_run() -> Sink | None:
    """Return the MLflow run that is active in this process, if MLflow is in use at all."""
    run_id = active_run_id()
    return None if run_id is None else MlflowSink(sys.modules["mlflow"].get_tracking_uri(), run_id)


def active_run_id() -> str | None:
    """Return the id of the MLflow run that is active in this process, if there is one."""
    mlflow = sys.modules.get("mlflow")
    run = None if mlflow is None else mlflow.active_run()
    return None if run is None else str(run.info.run_id)


class Forwarder:
    """Takes rows without ever waiting, and passes them on in batches from a thread of its own."""

    def __init__(
        self,
        sink: Sink,
        flush_seconds: float = _FLUSH_SECONDS,
        final_seconds: float = _FINAL_SECONDS,
    ) -> None:
        """Start the thread.

        Args:
            sink: Takes metrics and pictures.
            flush_seconds: Pause between two deliveries; doubled, up to a minute, while they fail.
            final_seconds: How long :meth:`close` tries to deliver what is left.
        """
        self._sink = sink
        self._flush_seconds, self._final_seconds = flush_seconds, final_seconds
        self._metrics: deque[tuple[str, float, int, int]] = deque()
        self._pictures: deque[Path] = deque()
        self._closing = threading.Event()
        self._has_failed = False
        self._thread = threading.Thread(target=self._work, name="metrics-forwarder", daemon=True)
        self._thread.start()

    def __call__(self, row: Row) -> None:
        """Take a row of the metrics file, paths in it absolute."""
        if row["kind"] == "picture":
            self._pictures.append(Path(row["path"]))
        if row["kind"] not in {"train", "validation"}:
            return
        now_ms = int(time.time() * 1000)
        for name, value in row.items():
            if isinstance(value, int | float) and name not in _NOT_METRICS:
                self._metrics.append((name, float(value), now_ms, row["step"]))

    def close(self) -> int:
        """Deliver what is left, trying for a while; return how many metrics and pictures were not taken."""
        self._closing.set()
        self._thread.join(self._final_seconds + 1)
        left = len(self._metrics) + len(self._pictures)
        if left:
            logger.warning(
                "MLflow did not take %d metrics and pictures of this training; they are in the run's folder.",
                left,
            )
        return left

    def __enter__(self) -> Self:
        """Return the forwarder itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Deliver what is left."""
        self.close()

    def _work(self) -> None:
        pause = self._flush_seconds
        while not self._closing.wait(pause):
            pause = self._flush_seconds if self._deliver() else min(2 * pause, _LONGEST_PAUSE_SECONDS)
        deadline = time.monotonic() + self._final_seconds
        while not self._deliver() and time.monotonic() < deadline:
            time.sleep(min(1.0, self._flush_seconds))

    def _deliver(self) -> bool:
        """Pass everything on; what is refused stays for the next time."""
        try:
            while self._metrics:
                some = [self._metrics[i] for i in range(min(_BATCH_ROWS, len(self._metrics)))]
                self._sink.log_metrics(some)
                _drop(self._metrics.popleft, len(some))
            while self._pictures:
                self._sink.log_picture(self._pictures[0])
                self._pictures.popleft()
        except Exception as exc:  # whatever MLflow, its store or the network raise: training goes on
            if not self._has_failed:
                logger.warning("MLflow takes no metrics at the moment (%s); they will be offered again.", exc)
            self._has_failed = True
            return False
        self._has_failed = False
        return True


@contextmanager
def forwarding_to_mlflow() -> Iterator[Forwarder | None]:
    """Hand out what takes rows for the active MLflow run; None where there is none, or it is out of reach."""
    try:
        sink = active_mlflow_run()
    except Exception as exc:  # whatever MLflow or its store raise: training goes on
        logger.warning("MLflow is out of reach (%s); metrics stay in the run's folder.", exc)
        sink = None
    if sink is None:
        yield None
        return
    with Forwarder(sink) as forwarder:
        yield forwarder


def _drop(pop: Callable[[], Any], count: int) -> None:
    for _ in range(count):
        pop()
