import time
from pathlib import Path

import pytest

from skin_pipeline.training.reporting import Forwarder, active_mlflow_run

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
