"""What happens around every run: checks before it, its record in MLflow, one message when it fails.

MLflow is told by run id, never through its "active run": that one belongs to a thread, and datasets may be
loaded and saved in others. Once a run has begun, no failure of MLflow stops the work.
"""

from __future__ import annotations

import atexit
import gc
import hashlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TextIO

import mlflow
import orjson
import psutil
from kedro.config import AbstractConfigLoader
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset, DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.validation.exceptions import ParameterValidationError
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from pydantic import BaseModel

from skin_pipeline.datasets import FolderDataset
from skin_pipeline.datasets.atomic import LockHeldError, nearest_folder, storage_errors, take_lock
from skin_pipeline.errors import SkinPipelineError, StorageError
from skin_pipeline.items import json_digest
from skin_pipeline.lineage.history import History, Run
from skin_pipeline.lineage.recorder import Recorder

MIN_FREE_MIB = 256
"""A run does not begin with less free space than this."""

PROCESS_TAG = "skin_pipeline.process"
"""Names the process that does a run: host, process id, and when the process started."""

WORKSPACE_LOCK = ".lock"
"""File in the data folder that a run holds while it works there."""

MAX_METRICS = 1000
"""MLflow takes no more at once."""

MAX_PARAM_CHARACTERS = 500
"""Longer values are in the run's parameter files only."""

logger = logging.getLogger(__name__)


class PreflightHook:
    """Refuses a run that could not end well, before its first node."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Ask every parameters model and output of the run, and look at the folders it would write to.

        Raises:
            SkinPipelineError: Something is missing or cannot be written.
        """
        for name in sorted(pipeline.inputs()):
            if name.startswith("params:"):
                preflight = getattr(_dataset(catalog, name).load(), "preflight", None)
                if preflight is not None:
                    preflight()
        for name in sorted(pipeline.all_outputs()):
            preflight = getattr(_dataset(catalog, name), "preflight", None)
            if preflight is not None:
                preflight()
            path = _path_of(catalog, name)
            if path is not None:
                _require_space(name, path)


def _path_of(catalog: DataCatalog, name: str) -> Path | None:
    """Return where a dataset lies, if it lies on this machine."""
    return _local_path(_dataset(catalog, name))


def _local_path(dataset: AbstractDataset[Any, Any]) -> Path | None:
    """Return where a dataset lies: this project's say it by a path, those of kedro-datasets by fsspec's."""
    path = getattr(dataset, "_filepath", None)
    if path is None or isinstance(path, Path):
        return path
    return Path(path) if getattr(dataset, "_protocol", None) == "file" else None


def _dataset(catalog: DataCatalog, name: str) -> AbstractDataset[Any, Any]:
    """Return a dataset; one that the catalog does not have is in memory only."""
    return catalog.get(name) or MemoryDataset()


def _require_space(name: str, path: Path) -> None:
    """Raise if a dataset could not be written for want of access or space."""
    folder = nearest_folder(path if path.is_dir() else path.parent)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise StorageError(
            f"Dataset '{name}' cannot be written: {folder}: {exc.strerror}. Give this user write access, "
            "or put the data elsewhere (data_root in conf/base/globals.yml)."
        ) from exc
    free_mib = shutil.disk_usage(folder).free / 2**20
    if free_mib < MIN_FREE_MIB:
        raise StorageError(
            f"The disk for dataset '{name}' ({folder}) has {free_mib:.0f} MiB left; a run needs at least "
            f"{MIN_FREE_MIB} MiB. Free some space, or put the data elsewhere (data_root in "
            "conf/base/globals.yml)."
        )


class CollectorHook:
    """Keeps Python's garbage collector from walking over all that was imported, again and again.

    MLflow alone brings a million objects, and a collection walks over all of them: with 20,000 skins that
    was a third of what a run with nothing to do cost.
    """

    @hook_impl(trylast=True)
    def before_pipeline_run(self) -> None:
        """Take what is there now out of the collector's sight."""
        gc.freeze()

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Put it back."""
        gc.unfreeze()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Put it back."""
        gc.unfreeze()


class WorkspaceHook:
    """Keeps two runs from working in one data folder at a time; looking at it needs no lock.

    The lock is the kernel's: it ends with the process, however that ends, and neither worker processes nor
    the trainer inherit it.
    """

    def __init__(self) -> None:
        """Begin without a folder."""
        self._folder: Path | None = None
        self._lock: TextIO | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Find the data folder: ``data_root`` of the command line, or of globals.yml."""
        self._folder = data_folder(Path(context.project_path), context.config_loader)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Take the lock.

        Raises:
            StorageError: Another run has it, or the folder cannot be written.
        """
        self._release()  # of a run in this process that failed before its first node
        if self._folder is None:
            return
        pipelines = ", ".join(run_params.get("pipeline_names") or ["__default__"])
        started = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        holder = (
            f"pipeline {pipelines}, process {os.getpid()} on {socket.gethostname()}, running since {started}"
        )
        try:
            with storage_errors(self._folder):
                self._lock = take_lock(self._folder / WORKSPACE_LOCK, holder)
        except LockHeldError as exc:
            raise StorageError(
                f"{self._folder} is in use by another run ({exc.holder or 'which just began'}). Wait for "
                "it to end, or stop it, and run the same command again; or give this run a folder of its own "
                "with `--params data_root=FOLDER`."
            ) from exc

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Give the lock up."""
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Give the lock up."""
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def data_folder(project: Path, loader: AbstractConfigLoader) -> Path:
    """Return the data folder: ``data_root`` of the command line, or of globals.yml."""
    root = (loader.runtime_params or {}).get("data_root") or loader["globals"]["data_root"]
    return project / str(root)


class ErrorMessageHook:
    """Shows an error that the user can mend as its one message; any other with its traceback."""

    @hook_impl
    def after_context_created(self) -> None:
        """Take over how an uncaught error is shown."""
        if not isinstance(sys.excepthook, _ShowMessage):
            sys.excepthook = _ShowMessage(sys.excepthook)


class _ShowMessage:
    """An excepthook."""

    def __init__(self, show_traceback: Any) -> None:
        self._show_traceback = show_traceback

    def __call__(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        """Log the message of an error of ours, hand on any other."""
        mendable = mendable_error(error)
        if mendable is None:
            self._show_traceback(kind, error, traceback)
        else:
            logger.error("%s", mendable)
            logger.debug("Traceback:", exc_info=(kind, error, traceback))


def mendable_error(error: BaseException | None) -> BaseException | None:
    """Return the error itself or the nearest of its causes that a user can mend."""
    while error is not None:
        if isinstance(error, SkinPipelineError | ParameterValidationError):
            return error
        error = error.__cause__
    return None


@contextmanager
def _never_fatal(action: str) -> Iterator[None]:
    """Turn whatever MLflow raises into a warning."""
    try:
        yield
    except Exception as exc:  # a tracking server fails in as many ways as there are servers
        logger.warning("MLflow could not %s (%s: %s); the run goes on.", action, type(exc).__name__, exc)


class TrackingHook(MlflowHook):  # type: ignore[misc]
    """kedro-mlflow's hook, with typed parameters, and with an honest status for runs that are killed."""

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Begin the run in MLflow, after closing those whose process has died."""
        with _never_fatal("close the runs of dead processes"):
            self._close_dead_runs()
        super().before_pipeline_run(run_params=run_params, pipeline=pipeline, catalog=catalog)
        if self.run_id is None:
            return
        tags = {PROCESS_TAG: process_name(), "git_commit": git_commit(Path(run_params["project_path"]))}
        with _never_fatal("tag the run"):
            mlflow.MlflowClient().log_batch(
                self.run_id, tags=[RunTag(key, value) for key, value in tags.items() if value]
            )
        atexit.register(self._end_as_killed)
        _end_on_sigterm()

    @hook_impl
    def before_node_run(
        self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], is_async: bool
    ) -> None:
        """Log the node's parameters: flat for comparing runs, and whole as a file."""
        with _never_fatal(f"log the parameters of {node.name}"):
            super().before_node_run(node=node, catalog=catalog, inputs={}, is_async=is_async)
            for name, value in inputs.items():
                if name.startswith("params:") and self.run_id is not None:
                    self._log_parameters(name.removeprefix("params:"), value)

    def _log_parameters(self, name: str, value: Any) -> None:
        """Log one node's parameters."""
        plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        flat = {key: str(leaf) for key, leaf in flatten(name, plain).items()}
        client = mlflow.MlflowClient()
        client.log_batch(
            self.run_id,
            params=[Param(key, leaf) for key, leaf in flat.items() if len(leaf) <= MAX_PARAM_CHARACTERS],
        )
        client.log_dict(self.run_id, {name: plain}, f"parameters/{name}.json")

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """End the run as finished."""
        atexit.unregister(self._end_as_killed)
        with _never_fatal("end the run"):
            super().after_pipeline_run(run_params=run_params, pipeline=pipeline, catalog=catalog)

    @hook_impl
    def on_pipeline_error(
        self, error: Exception, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """End the run as failed, with the message."""
        atexit.unregister(self._end_as_killed)
        with _never_fatal("mark the run as failed"):
            if self.run_id is not None:
                message = str(mendable_error(error) or error)
                mlflow.MlflowClient().set_tag(
                    self.run_id, "error", f"{type(error).__name__}: {message}"[:5000]
                )
            super().on_pipeline_error(error=error, run_params=run_params, pipeline=pipeline, catalog=catalog)

    def _end_as_killed(self) -> None:
        """End a run that neither finished nor failed, before MLflow's own exit handler calls it finished."""
        with _never_fatal("mark the run as killed"):
            while mlflow.active_run():
                mlflow.end_run("KILLED")

    def _close_dead_runs(self) -> None:
        """Mark runs as killed whose process was, and could not say so."""
        client = mlflow.MlflowClient()
        experiment = self.mlflow_config.tracking.experiment._experiment
        for run in client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'"):
            if is_dead(run.data.tags.get(PROCESS_TAG)):
                client.set_terminated(run.info.run_id, "KILLED")
                logger.info("Run '%s' was marked as killed: its process is gone.", run.info.run_name)


def process_name() -> str:
    """Return host, id and start of this process; an id alone is used again for other processes."""
    process = psutil.Process()
    return json.dumps([socket.gethostname(), process.pid, process.create_time()])


def is_dead(name: str | None) -> bool:
    """Tell whether a process of this host, as :func:`process_name` named it, has ended.

    Args:
        name: The name; None or a process of another host is not known to be dead.
    """
    if name is None:
        return False
    host, process_id, started = json.loads(name)
    if host != socket.gethostname():
        return False
    try:
        return bool(abs(psutil.Process(process_id).create_time() - started) > 1)
    except psutil.NoSuchProcess:
        return True


def _end_on_sigterm() -> None:
    """Let SIGTERM end this process as an exit does, so that exit handlers and ``finally`` run."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def git_commit(project: Path) -> str | None:
    """Return the commit that a checkout is at, with ``+changes`` if its files differ; None outside of one."""
    git = shutil.which("git")
    if git is None:
        return None

    def ask(*arguments: str) -> str | None:
        answer = subprocess.run([git, "-C", project, *arguments], check=False, capture_output=True, text=True)  # noqa: S603
        return answer.stdout.strip() if answer.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return f"{commit}+changes" if commit and ask("status", "--porcelain") else commit


def flatten(name: str, value: Any) -> dict[str, Any]:
    """Return the leaves of nested mappings by their dotted names."""
    if not isinstance(value, Mapping) or not value:
        return {name: value}
    return {key: leaf for part in value for key, leaf in flatten(f"{name}.{part}", value[part]).items()}


def _contents(dataset: Any) -> dict[str, str] | None:
    """Return the sha256 of a dataset's contents by name; None for what lies nowhere, or not here."""
    if hasattr(dataset, "content_manifest"):
        manifest: dict[str, str] = dataset.content_manifest()
        return manifest
    path = _local_path(dataset)
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        return {path.name: hashlib.file_digest(file, "sha256").hexdigest()}


def _mlflow_metadata(dataset: Any) -> Mapping[str, Any]:
    """Return what a catalog entry says to MLflow: ``registered_model``, ``metrics``."""
    return (getattr(dataset, "metadata", None) or {}).get("mlflow") or {}


def describe_run(run_id: str | None, run_params: Mapping[str, Any], began: str) -> Run:
    """Describe a run for the workspace's history."""
    given = (run_params.get("runtime_params") or {}).items()
    params = {key: leaf for name, value in given for key, leaf in flatten(name, value).items()}
    options = {
        "--env": run_params.get("env"),
        "--pipeline": ",".join(run_params.get("pipeline_names") or ()),
        "--params": ",".join(f"{name}={value}" for name, value in params.items()),
    }
    command = " ".join(["kedro run", *(f"{name}={value}" for name, value in options.items() if value)])
    return Run(run_id, command, git_commit(Path(run_params["project_path"])), began)


class LineageHook:
    """Records what went into a run and what came out: names, digests, manifests, small files, models."""

    def __init__(self) -> None:
        """Begin with nothing recorded."""
        self._catalog: DataCatalog | None = None
        self._run_id: str | None = None
        self._recorded: set[str] = set()
        self._folder: Path | None = None
        self._recorder: Recorder | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Find the data folder, whose history is kept in it."""
        self._folder = data_folder(Path(context.project_path), context.config_loader)

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any], catalog: DataCatalog) -> None:
        """Remember which run of MLflow this is; it has begun by now."""
        active = mlflow.active_run()
        self._catalog = catalog
        self._run_id = active.info.run_id if active else None
        self._recorded = set()
        self._recorder = None
        if self._folder is not None:
            began = datetime.now().astimezone().isoformat(timespec="seconds")
            describe = partial(describe_run, self._run_id, run_params, began)
            self._recorder = Recorder(History(self._folder), describe)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str) -> None:
        """Record an input, once, unless this run made it."""
        if dataset_name not in self._recorded:
            self._record(dataset_name, "input")

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Record an output."""
        self._record(dataset_name, "output", node.inputs)

    def _record(self, name: str, context: str, made_from: Iterable[str] = ()) -> None:
        """Log a dataset's digest and manifest, and what of an output is small enough to keep."""
        dataset: Any = None if self._catalog is None else _dataset(self._catalog, name)
        if dataset is None or (self._run_id is None and self._recorder is None):
            return
        with _never_fatal(f"record dataset '{name}'"):
            files = _contents(dataset)
            if files is None:
                return
            self._recorded.add(name)
            digest = json_digest(files)
            self._note(name, digest, files, dataset, None if context == "input" else made_from)
            if self._run_id is None:
                return
            client = mlflow.MlflowClient()
            entity = Dataset(
                name,
                digest[:32],  # MLflow keeps 36 characters; the tag has all of them
                "local",
                json.dumps({"path": str(_local_path(dataset))}),
                profile=json.dumps({"num_files": len(files)}),
            )
            client.log_inputs(
                self._run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", context)])]
            )
            client.set_tag(self._run_id, f"digest.{name}", digest)
            manifest = {"dataset": name, "context": context, "digest": digest, "files": files}
            # Of 100,000 files: log_dict writes them with a pure Python encoder.
            text = orjson.dumps(manifest, option=orjson.OPT_INDENT_2).decode()
            client.log_text(self._run_id, text, f"manifests/{name}.json")
            if context == "output":
                self._keep(client, name, dataset, digest)

    def _note(
        self, name: str, digest: str, files: Mapping[str, str], dataset: Any, made_from: Iterable[str] | None
    ) -> None:
        """Note a dataset in the workspace's history, as an input or as made from others."""
        if self._recorder is None:
            return
        try:
            if made_from is None:
                self._recorder.note_input(name, digest, files)
            else:
                self._recorder.note_output(name, digest, files, made_from, dataset.load)
        except OSError as exc:
            logger.warning(
                "The history of %s could not be written (%s); `kedro lineage` will know less of this run.",
                self._folder,
                exc,
            )

    def _keep(self, client: mlflow.MlflowClient, name: str, dataset: Any, digest: str) -> None:
        """Log an output's small files as artifacts, and a model as a version of its registered model."""
        path = _local_path(dataset)
        if path is not None and path.is_file():
            client.log_artifact(self._run_id, str(path), name)
            if _mlflow_metadata(dataset).get("metrics"):
                self._log_metrics(client, name, dataset.load())
        elif hasattr(dataset, "contact_sheet"):
            sheet = dataset.contact_sheet()
            if sheet is not None:
                with tempfile.TemporaryDirectory() as folder:
                    file = Path(folder) / "contact_sheet.png"
                    file.write_bytes(sheet)
                    client.log_artifact(self._run_id, str(file), name)
        elif isinstance(dataset, FolderDataset):
            model = _mlflow_metadata(dataset).get("registered_model")
            if model is not None:
                self._register(client, model, dataset._filepath, digest)

    def _log_metrics(self, client: mlflow.MlflowClient, name: str, values: Mapping[str, Any]) -> None:
        """Log the numbers of a mapping of mappings as metrics, ``<dataset>.<name>.<name>``."""
        now_ms = round(time.time() * 1000)
        metrics = [
            Metric(key, float(value), now_ms, 0)
            for key, value in flatten(name, values).items()
            if isinstance(value, int | float)
        ]
        for start in range(0, len(metrics), MAX_METRICS):
            client.log_batch(self._run_id, metrics=metrics[start : start + MAX_METRICS])

    def _register(self, client: mlflow.MlflowClient, model: str, folder: Path, digest: str) -> None:
        """Log a model's folder and make it a version; the same weights twice are one version."""
        if not client.search_registered_models(f"name = '{model}'"):
            client.create_registered_model(model)
        versions = client.search_model_versions(f"name = '{model}'")
        version = next((version for version in versions if version.tags.get("digest") == digest), None)
        if version is None:
            client.log_artifacts(self._run_id, str(folder), model)
            source = f"{client.get_run(self._run_id).info.artifact_uri}/{model}"
            version = client.create_model_version(model, source, self._run_id, tags={"digest": digest})
            logger.info("%s: registered in MLflow as version %s", model, version.version)
        client.set_tag(self._run_id, f"model_version.{model}", str(version.version))
