"""Checks before a run, its record in MLflow, and how it ends."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from kedro.framework.hooks import hook_impl
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner
from kedro_datasets.json import JSONDataset
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig
from pydantic import Field

from skin_pipeline import hooks
from skin_pipeline.datasets import FolderDataset, ItemsDataset, JSONLinesDataset
from skin_pipeline.errors import InputError, MissingWeightsError, StorageError
from skin_pipeline.items import FolderPlan, Items, Output, Plan
from skin_pipeline.lineage.history import History
from skin_pipeline.lineage.tracking import Tracking
from skin_pipeline.schemas import Parameters

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class DrawParameters(Parameters):
    """Parameters of the node under test."""

    low: int = 50
    nested: dict[str, float] = Field(default_factory=lambda: {"share": 0.5})
    weights: str = "here"

    def preflight(self) -> None:
        if self.weights == "nowhere":
            raise MissingWeightsError("There are no weights at nowhere.")


@pytest.fixture(scope="module")
def tracking_uri(tmp_path_factory):
    """A tracking store; making its tables takes seconds, so there is one for all tests here."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    yield uri
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


@pytest.fixture
def tracking(tracking_uri, tmp_path, request):
    """A TrackingHook, set up as kedro-mlflow does it from mlflow.yml, with an experiment of its own."""
    client = mlflow.MlflowClient()
    experiment = client.create_experiment(
        request.node.name, artifact_location=(tmp_path / "artifacts").as_uri()
    )
    hook = hooks.TrackingHook()
    hook._already_active_mlflow = False
    hook.mlflow_config = KedroMlflowConfig()
    hook.mlflow_config.tracking.experiment._experiment = client.get_experiment(experiment)
    hook.mlflow_config.server._mlflow_client = client
    before = signal.getsignal(signal.SIGTERM)
    yield hook
    signal.signal(signal.SIGTERM, before)
    hooks.atexit.unregister(hook._end_as_killed)
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture
def catalog(tmp_path, make_items, request):
    items = ItemsDataset(filepath=str(tmp_path / "data" / "skins"), suffix=".png")
    items.save(copy_skins(make_items("a", "b")))
    return DataCatalog(
        {
            "skins": items,
            "edge_maps": ItemsDataset(filepath=str(tmp_path / "data" / "edges"), suffix=".png"),
            "rejected": JSONLinesDataset(filepath=str(tmp_path / "data" / "rejected.jsonl")),
            "weights": FolderDataset(
                filepath=str(tmp_path / "data" / "weights"),
                metadata={"mlflow": {"registered_model": request.node.name}},
            ),
            "params:draw": MemoryDataset(DrawParameters()),
        }
    )


def copy_skins(skins: Items, parameters: DrawParameters | None = None) -> Plan:
    def copy(tasks):
        return [Output({}, np.zeros((4, 4), np.uint8)) for _ in tasks]

    return Plan("copy", lambda: copy, sources={"skin": skins})


def count_skins(edge_maps: Items) -> tuple[list[dict[str, int]], FolderPlan]:
    return [{"items": len(edge_maps)}], FolderPlan(
        lambda folder: (folder / "w.bin").write_bytes(b"w") and None
    )


def fail(edge_maps: Items) -> list[dict[str, int]]:
    raise InputError("The picture of 'a' is empty.")


COPY = Node(copy_skins, ["skins", "params:draw"], "edge_maps", name="copy_skins")
COUNT = Node(count_skins, "edge_maps", ["rejected", "weights"], name="count_skins")
FAIL = Node(fail, "edge_maps", "rejected", name="fail")


def run(pipeline, catalog, *project_hooks):
    """Do what a Kedro session does around a run."""
    manager = _create_hook_manager()
    for hook in project_hooks:
        manager.register(hook)
    no_filters = dict.fromkeys(
        ("tags", "node_names", "from_nodes", "to_nodes", "from_inputs", "load_versions")
    )
    run_params = {"project_path": str(Path.cwd()), "pipeline_names": ["test"], **no_filters}
    about = {"run_params": run_params, "pipeline": pipeline, "catalog": catalog}
    manager.hook.before_pipeline_run(**about)
    try:
        SequentialRunner().run(pipeline, catalog, manager)
    except Exception as exc:
        manager.hook.on_pipeline_error(error=exc, **about)
        raise
    manager.hook.after_pipeline_run(run_result={}, **about)


def only_run(tracking):
    experiment = tracking.mlflow_config.tracking.experiment._experiment
    (found,) = mlflow.MlflowClient().search_runs([experiment.experiment_id])
    return found


def artifacts(found, path=None):
    return sorted(file.path for file in mlflow.MlflowClient().list_artifacts(found.info.run_id, path))


# --- what is recorded


def test_run_records_what_went_in_and_what_came_out(tracking, catalog):
    run(Pipeline([COPY, COUNT]), catalog, hooks.LineageHook(), tracking)
    found = only_run(tracking)
    assert found.info.status == "FINISHED"
    recorded = {
        dataset.dataset.name: (dataset.tags[0].value, dataset.dataset.digest)
        for dataset in found.inputs.dataset_inputs
    }
    contexts = {name: context for name, (context, _) in recorded.items()}
    assert contexts == {"skins": "input", "edge_maps": "output", "rejected": "output", "weights": "output"}
    assert all(found.data.tags[f"digest.{name}"].startswith(digest) for name, (_, digest) in recorded.items())
    assert artifacts(found, "manifests") == [f"manifests/{name}.json" for name in sorted(recorded)]
    assert artifacts(found, "edge_maps") == ["edge_maps/contact_sheet.png"]
    assert artifacts(found, "rejected") == ["rejected/rejected.jsonl"]
    manifest = mlflow.artifacts.load_dict(f"{found.info.artifact_uri}/manifests/edge_maps.json")
    assert manifest["files"] == catalog.get("edge_maps").content_manifest()


def test_run_is_noted_in_the_history_of_its_data_folder_once(tracking, tracking_uri, catalog, tmp_path):
    def play():
        hook = hooks.LineageHook()
        hook._folder = tmp_path
        run(Pipeline([COPY, COUNT]), catalog, hook, tracking)
        return mlflow.MlflowClient().search_runs([experiment], order_by=["start_time"])

    experiment = tracking.mlflow_config.tracking.experiment._experiment.experiment_id
    (first,), (_, _) = play(), play()
    versions = {version.dataset: version for version in History(tmp_path).versions.values()}
    assert versions.keys() == {"edge_maps", "rejected", "weights"}
    digests = {name: first.data.tags[f"digest.{name}"] for name in ("skins", *versions)}
    assert versions["weights"].made_from == {"edge_maps": digests["edge_maps"]}
    assert versions["edge_maps"].made_from == {"skins": digests["skins"]}
    assert {version.run.id for version in versions.values()} == {first.info.run_id}
    known = Tracking(tracking_uri)
    assert known.run(first.info.run_id).status == "FINISHED"
    maker = known.maker("weights", digests["weights"])  # of another test here, if one made the same before
    assert maker == known.maker("weights", digests["weights"][:16])
    assert maker.began <= known.run(first.info.run_id).began
    assert known.maker("weights", "0" * 64) is None
    assert known.run("0" * 32) is None
    assert known.model_version(digests["weights"]).endswith(" 1")


def test_typed_parameters_are_logged_one_by_one(tracking, catalog):
    run(Pipeline([COPY]), catalog, tracking)
    found = only_run(tracking)
    assert found.data.params == {"draw.low": "50", "draw.nested.share": "0.5", "draw.weights": "here"}
    logged = mlflow.artifacts.load_dict(f"{found.info.artifact_uri}/parameters/draw.json")
    assert logged == {"draw": DrawParameters().model_dump()}


def test_weights_become_a_model_version_once(tracking, catalog, request):
    run(Pipeline([COPY, COUNT]), catalog, hooks.LineageHook(), tracking)
    found = only_run(tracking)
    client = mlflow.MlflowClient()
    model = request.node.name
    version = client.get_model_version(model, found.data.tags[f"model_version.{model}"])
    assert version.run_id == found.info.run_id
    assert (Path(mlflow.artifacts.download_artifacts(version.source)) / "w.bin").read_bytes() == b"w"
    run(Pipeline([COUNT]), catalog, hooks.LineageHook(), tracking)
    assert len(client.search_model_versions(f"name = '{model}'")) == 1


def test_a_file_of_any_dataset_class_is_recorded_and_its_numbers_are_metrics(tracking, catalog, tmp_path):
    catalog["scores"] = JSONDataset(
        filepath=str(tmp_path / "data" / "scores.json"), metadata={"mlflow": {"metrics": True}}
    )
    catalog["notes"] = JSONDataset(filepath="memory://notes.json")
    score = Node(
        lambda _: ({"f1": {"estimate": 0.5, "of": "edges"}}, [1]), "skins", ["scores", "notes"], name="score"
    )
    run(Pipeline([score]), catalog, hooks.PreflightHook(), hooks.LineageHook(), tracking)
    found = only_run(tracking)
    assert found.data.metrics == {"scores.f1.estimate": 0.5}
    assert artifacts(found, "scores") == ["scores/scores.json"]
    manifest = mlflow.artifacts.load_dict(f"{found.info.artifact_uri}/manifests/scores.json")
    content = (tmp_path / "data" / "scores.json").read_bytes()
    assert manifest["files"] == {"scores.json": hashlib.sha256(content).hexdigest()}
    assert {dataset.dataset.name for dataset in found.inputs.dataset_inputs} == {"skins", "scores"}


def test_failure_of_mlflow_does_not_stop_the_work(tracking, catalog, monkeypatch, caplog):
    def refuse(*_args, **_kwargs):
        raise ConnectionError("no route to host")

    class Outage:
        @hook_impl(trylast=True)
        def before_pipeline_run(self):
            for name in ("log_inputs", "log_batch", "log_dict", "set_tag", "set_terminated"):
                monkeypatch.setattr(mlflow.MlflowClient, name, refuse)

    run(Pipeline([COPY]), catalog, Outage(), hooks.LineageHook(), tracking)
    assert catalog.get("edge_maps").exists()
    assert "MLflow could not record dataset 'edge_maps' (ConnectionError: no route to host)" in caplog.text


# --- how a run ends


def test_failed_run_is_marked_with_its_message(tracking, catalog):
    with pytest.raises(InputError):
        run(Pipeline([COPY, FAIL]), catalog, hooks.LineageHook(), tracking)
    found = only_run(tracking)
    assert found.info.status == "FAILED"
    assert found.data.tags["error"] == "InputError: The picture of 'a' is empty."
    assert "digest.edge_maps" in found.data.tags


KILLED_RUN = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background would ignore it
import mlflow
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig
from kedro.pipeline import Pipeline
from pydantic import Field

from skin_pipeline import hooks
uri, name, how = sys.argv[1:]
mlflow.set_tracking_uri(uri)
tracking = hooks.TrackingHook()
tracking._already_active_mlflow = False
tracking.mlflow_config = KedroMlflowConfig()
tracking.mlflow_config.tracking.experiment._experiment = mlflow.get_experiment_by_name(name)
params = dict.fromkeys(("tags", "node_names", "from_nodes", "to_nodes", "from_inputs", "load_versions"))
params = {"project_path": ".", "pipeline_names": ["killed"], **params}
tracking.before_pipeline_run(params, Pipeline([]), None)
os.kill(os.getpid(), getattr(signal, how))
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_killed_run_is_marked_as_killed(tracking, tracking_uri, catalog, tmp_path, how):
    script = tmp_path / "run.py"
    script.write_text(KILLED_RUN)
    experiment = tracking.mlflow_config.tracking.experiment._experiment
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    arguments = [sys.executable, script, tracking_uri, experiment.name, how]
    process = subprocess.run(arguments, env=environment, check=False, capture_output=True)
    assert process.returncode != 0
    client = mlflow.MlflowClient()
    (killed,) = client.search_runs([experiment.experiment_id])
    if how == "SIGKILL":  # nobody was left to say so: the next run does
        assert killed.info.status == "RUNNING"
        run(Pipeline([COPY]), catalog, tracking)
    assert client.get_run(killed.info.run_id).info.status == "KILLED"


def test_process_is_known_to_be_dead_only_if_it_is():
    alive = hooks.process_name()
    host, process_id, started = json.loads(alive)
    assert not hooks.is_dead(alive)
    assert hooks.is_dead(json.dumps([host, process_id, started - 100]))  # the id is used again
    assert hooks.is_dead(json.dumps([host, 2**22 + 1, started]))
    assert not hooks.is_dead(json.dumps([f"not-{socket.gethostname()}", 2**22 + 1, started]))
    assert not hooks.is_dead(None)


# --- before a run


def test_parameters_that_cannot_work_stop_the_run_before_it_begins(catalog, tracking):
    catalog["params:draw"] = MemoryDataset(DrawParameters(weights="nowhere"))
    with pytest.raises(MissingWeightsError, match="no weights at nowhere"):
        run(Pipeline([COPY]), catalog, tracking, hooks.PreflightHook())
    assert not catalog.get("edge_maps").exists()
    experiment = tracking.mlflow_config.tracking.experiment._experiment
    assert not mlflow.MlflowClient().search_runs([experiment.experiment_id])


def test_full_disk_stops_the_run_before_it_begins(catalog, monkeypatch):
    monkeypatch.setattr(hooks, "MIN_FREE_MIB", 2**40)
    with pytest.raises(StorageError, match=r"'edge_maps' .* MiB left; .*Free some space"):
        run(Pipeline([COPY]), catalog, hooks.PreflightHook())


def test_folder_that_cannot_be_written_stops_the_run_before_it_begins(catalog, monkeypatch):
    def refuse(**_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hooks.tempfile, "TemporaryFile", refuse)
    with pytest.raises(StorageError, match=r"'edge_maps' cannot be written: .*Permission denied"):
        run(Pipeline([COPY]), catalog, hooks.PreflightHook())


def test_preflight_leaves_nothing_behind(catalog, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    hooks.PreflightHook().before_pipeline_run(Pipeline([COPY, COUNT]), catalog)
    assert sorted(tmp_path.rglob("*")) == before


# --- one message


def test_mendable_error_is_found_behind_others():
    ours = InputError("empty")
    wrapped = DatasetError("Failed while saving")
    wrapped.__cause__ = ours
    assert hooks.mendable_error(wrapped) is ours
    assert hooks.mendable_error(ZeroDivisionError()) is None


def test_only_mendable_errors_are_shown_without_a_traceback(monkeypatch, caplog):
    shown = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: shown.append(args))
    hooks.ErrorMessageHook().after_context_created()
    hooks.ErrorMessageHook().after_context_created()
    sys.excepthook(InputError, InputError("The picture is empty."), None)
    assert shown == []
    assert caplog.messages == ["The picture is empty."]
    bug = ZeroDivisionError()
    sys.excepthook(ZeroDivisionError, bug, None)
    assert shown == [(ZeroDivisionError, bug, None)]


def test_commit_of_a_checkout_is_found(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        return subprocess.run(
            ["git", *identity, "-C", tmp_path, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert hooks.git_commit(tmp_path) is None
    git("init", "-q")
    assert hooks.git_commit(tmp_path) is None
    git("commit", "-q", "--allow-empty", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert hooks.git_commit(tmp_path) == commit
    (tmp_path / "new.py").touch()
    assert hooks.git_commit(tmp_path) == f"{commit}+changes"
