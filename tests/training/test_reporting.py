import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from skin_pipeline.training.reporting import Forwarder, MlflowSink, active_mlflow_run

ROWS = [
    {"kind": "start", "step": 0},
    *({"kind": "train", "step": i, "loss": i / 10, "samples": "abc"} for i in range(1, 2001)),
    {"kind": "picture", "step": 2000, "path": "/run/pictures/step_2000.png"},
]


class _Store:
    """A store that refuses its first calls, or all, and takes its time."""

    def __init__(self, refusals: int = 0, seconds: float = 0.0) -> None:
        self.metrics: list[tuple[str, float, int, int]] = []
        self.pictures: list[Path] = []
        self._refusals, self._seconds = refusals, seconds

    def log_metrics(self, metrics: list[tuple[str, float, int, int]]) -> None:
        self._answer()
        assert len(metrics) <= 1000
        self.metrics.extend(metrics)

    def log_picture(self, path: Path) -> None:
        self._answer()
        self.pictures.append(path)

    def _answer(self) -> None:
        time.sleep(self._seconds)
        self._refusals -= 1
        if self._refusals >= 0:
            raise ConnectionError("the store is away")


@pytest.mark.parametrize("refusals", [0, 3])
def test_everything_arrives_once_though_the_store_was_away(refusals: int) -> None:
    store = _Store(refusals)
    with Forwarder(store, flush_seconds=0.01, final_seconds=10) as forwarder:
        for row in ROWS:
            forwarder(row)
    assert [(name, step) for name, _, _, step in store.metrics] == [("loss", i) for i in range(1, 2001)]
    assert store.pictures == [Path("/run/pictures/step_2000.png")]


def test_a_slow_store_holds_nobody_up() -> None:
    store = _Store(seconds=0.5)
    forwarder = Forwarder(store, flush_seconds=0.01, final_seconds=10)
    began = time.monotonic()
    for row in ROWS:
        forwarder(row)
    assert time.monotonic() - began < 0.4
    assert forwarder.close() == 0


def test_a_dead_store_is_given_up_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    forwarder = Forwarder(_Store(refusals=10**6), flush_seconds=0.01, final_seconds=0.1)
    forwarder(ROWS[1])
    assert forwarder.close() == 1
    assert "did not take 1 metrics and pictures" in caplog.text
    assert caplog.text.count("takes no metrics at the moment") == 1


def test_without_mlflow_there_is_no_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "mlflow", raising=False)
    assert active_mlflow_run() is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
def test_an_active_run_gets_metrics_and_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    picture = tmp_path / "step_00000002.png"
    picture.write_bytes(b"picture")
    with mlflow.start_run() as run:
        sink = active_mlflow_run()
        assert sink is not None
        with Forwarder(sink, flush_seconds=0.01) as forwarder:
            forwarder({"kind": "train", "step": 2, "images_seen": 8, "loss": 0.25})
            forwarder({"kind": "picture", "step": 2, "path": str(picture)})
        assert mlflow.active_run().info.status == "RUNNING"
    client = mlflow.MlflowClient()
    (metric,) = client.get_metric_history(run.info.run_id, "loss")
    assert (metric.value, metric.step) == (0.25, 2)
    assert [a.path for a in client.list_artifacts(run.info.run_id, "training_pictures")] == [
        "training_pictures/step_00000002.png"
    ]


def _start_mlflow(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a real MLflow server on a database in a folder, and wait until it answers."""
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"),
        *("--port", str(port), "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--default-artifact-root", str(folder / "artifacts")),
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.txt").open("ab") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return server
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    _kill(server)
    raise AssertionError((folder / "server.txt").read_text())


def _kill(server: subprocess.Popen[bytes]) -> None:
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@pytest.mark.slow
def test_a_server_killed_in_a_training_gets_its_metrics_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    mlflow = pytest.importorskip("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = mlflow.MlflowClient(f"http://127.0.0.1:{port}")
    server = _start_mlflow(tmp_path, port)
    try:
        run_id = client.create_run("0").info.run_id
        sink = MlflowSink(f"http://127.0.0.1:{port}", run_id)
        forwarder = Forwarder(sink, flush_seconds=0.1, final_seconds=120)
        for row in ROWS[1:11]:
            forwarder(row)
        while len(client.get_metric_history(run_id, "loss")) < 10:
            time.sleep(0.2)
        _kill(server)
        began = time.monotonic()
        for row in ROWS[11:21]:
            forwarder(row)
        assert time.monotonic() - began < 1  # training is not held up
        time.sleep(2)  # deliveries fail meanwhile
        server = _start_mlflow(tmp_path, port)
        assert forwarder.close() == 0
        history = client.get_metric_history(run_id, "loss")
    finally:
        _kill(server)
    assert sorted((metric.step, metric.value) for metric in history) == [(i, i / 10) for i in range(1, 21)]
