"""Starts the trainer as a program of its own, follows it, and never leaves it behind. Loads no torch."""

import contextlib
import logging
import os
import platform
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import skin_pipeline
from skin_pipeline.errors import ConfigurationError, TrainingError
from skin_pipeline.training.config import TrainingRun, TrainParameters, run_name, save_run
from skin_pipeline.training.ending import Outcome, read_outcome
from skin_pipeline.training.lifecycle import PARENT_VARIABLE, process_mark
from skin_pipeline.training.metrics import MetricsTail, Row, read_metrics

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.25
_GRACE_SECONDS = 120.0
_KILL_SECONDS = 5.0
_LOG_LINES_SHOWN = 30
_ACCELERATE_FOLDER = Path("conf") / "accelerate"
_SOURCE_RUN = "source_run.txt"
_SUPPORTED = frozenset({"NO", "MULTI_CPU", "MULTI_GPU"})
_GLIBC_ALLOCATOR = {
    # Without these, glibc gives large buffers back to the system after each layer and asks for them again:
    # up to two thirds of the processor time of a training step on processors.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "16000000000",
    "MALLOC_TOP_PAD_": "268435456",
}

OnRow = Callable[[Row], None]


@dataclass(frozen=True)
class TrainingResult:
    """What a finished training left.

    Attributes:
        weights: Folder of the ControlNet, as ``save_pretrained`` writes it, with training.json.
        metrics: All lines of the run's metrics file.
        folder: The run's folder.
        source_run: Id, in the tracker, of the run that finished the training; None if it is not known.
    """

    weights: Path
    metrics: list[Row]
    folder: Path
    source_run: str | None = None


@dataclass(frozen=True)
class Machine:
    """An accelerate configuration, read.

    Attributes:
        values: As in the file.
        num_processes: Training processes on all machines together.
        is_cpu: Whether they train on processors.
        num_machines: Machines that train together; this one is the first.
    """

    values: Mapping[str, Any]
    num_processes: int
    is_cpu: bool
    num_machines: int = 1


def launch_training(
    parameters: TrainParameters,
    dataset_folder: Path,
    dataset_digest: str,
    project_folder: Path | None = None,
    on_row: OnRow | None = None,
    tracking_run: str | None = None,
) -> TrainingResult:
    """Train a ControlNet in a process group of its own; go on where an earlier call stopped.

    Progress is shown on Kedro's console. If this process is asked to end, so is training, which then saves a
    checkpoint; if this process dies, training notices and ends by itself.

    Args:
        parameters: How to train.
        dataset_folder: The published training set.
        dataset_digest: Its digest.
        project_folder: What folders in ``parameters`` are relative to; None: :func:`find_project_folder`.
        on_row: Called with each line of the metrics file as it comes, paths made absolute; must not raise.
        tracking_run: Id, in the tracker, of the run that this call belongs to; remembered by the training
            that it finishes.

    Returns:
        Weights and metrics.

    Raises:
        ConfigurationError: The accelerate configuration cannot be used.
        TrainingError: Training failed or was stopped; the message says why and what to do.
    """
    project = project_folder or find_project_folder()
    machine = read_machine(parameters.accelerate_config, project)
    run = TrainingRun(
        parameters=parameters.model_copy(update={"num_threads": _num_threads(parameters, machine)}),
        dataset_folder=dataset_folder.resolve(),
        dataset_digest=dataset_digest,
        folder=project / parameters.run_folder / run_name(parameters, dataset_digest),
        cache_folder=project / parameters.cache_folder,
        num_processes=machine.num_processes,
        attempt=uuid.uuid4().hex,
    )
    log = _prepare_folder(run, machine)
    was_done = (run.folder / "weights").is_dir()
    logger.info("Training in '%s'; log: '%s'.", run.folder, log)
    for rank in range(1, machine.num_machines):
        logger.info("Start machine %d of %d: %s", rank, machine.num_machines, joining(run, machine, rank))
    with log.open("ab") as output, _ended_with_us(_start(run, machine, output)) as child:
        _follow(child, run, on_row)
    outcome = read_outcome(run.folder, run.attempt)
    if outcome is None or outcome.status != "done":
        raise TrainingError(_explanation(run, outcome, child.returncode, log))
    if tracking_run is not None and not was_done:
        (run.folder / _SOURCE_RUN).write_text(tracking_run, encoding="utf-8")
    source_run = _read_source_run(run.folder)
    return TrainingResult(run.folder / "weights", read_metrics(run.folder), run.folder, source_run)


def _read_source_run(folder: Path) -> str | None:
    """Return the tracker's id of the run that finished a training, if that was written down."""
    path = folder / _SOURCE_RUN
    return path.read_text(encoding="utf-8") if path.is_file() else None


def find_project_folder() -> Path:
    """Return the nearest folder from here upwards that is a Kedro project, or else the current one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        pyproject = folder / "pyproject.toml"
        if pyproject.is_file() and "[tool.kedro]" in pyproject.read_text(encoding="utf-8"):
            return folder
    return here


# --- the machine ----------------------------------------------------------------------------------------


def read_machine(name: str, project_folder: Path) -> Machine:
    """Read an accelerate configuration.

    Args:
        name: A file of conf/accelerate without its suffix, or a path.
        project_folder: The project.

    Raises:
        ConfigurationError: It is not there, or says nothing about processes.
    """
    folder = project_folder / _ACCELERATE_FOLDER
    path = folder / f"{name}.yaml" if (folder / f"{name}.yaml").is_file() else project_folder / name
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
        raise ConfigurationError(
            f"train.accelerate_config '{name}' is neither a file of conf/accelerate (there: {known}) nor a"
            " path."
        )
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict) or not isinstance(values.get("num_processes"), int):
        raise ConfigurationError(
            f"train.accelerate_config '{path}' is no accelerate configuration: expected num_processes among"
            " its keys. `accelerate config` writes one."
        )
    machine = Machine(
        values,
        values["num_processes"],
        bool(values.get("use_cpu", False)),
        int(values.get("num_machines", 1)),
    )
    _check_machine(machine, path)
    return machine


def _check_machine(machine: Machine, path: Path) -> None:
    """Raise where the trainer cannot run as a configuration says."""
    kind = str(machine.values.get("distributed_type", "NO"))
    if kind not in _SUPPORTED:
        raise ConfigurationError(
            f"train.accelerate_config '{path}' has distributed_type {kind}; the trainer runs as one of"
            f" {', '.join(sorted(_SUPPORTED))}. To share out the optimizer's memory among processes, set"
            " train.optimizer to adamw_sharded; to shrink it, to adamw_8bit."
        )
    if machine.num_processes % machine.num_machines:
        raise ConfigurationError(
            f"train.accelerate_config '{path}' has num_processes {machine.num_processes}, which its"
            f" num_machines ({machine.num_machines}) does not divide. num_processes counts all machines'."
        )
    if machine.num_machines > 1 and (
        machine.values.get("machine_rank", 0) != 0 or not machine.values.get("main_process_port")
    ):
        raise ConfigurationError(
            f"train.accelerate_config '{path}' is of {machine.num_machines} machines: expected machine_rank"
            " 0, as training is started on the first and says how to start the others, and a"
            " main_process_port that they can reach."
        )


def launchable(machine: Machine) -> dict[str, Any]:
    """Return an accelerate configuration that starts as many processes as it says.

    accelerate starts a single process for MULTI_CPU unless it is given an MPI host file, and two that do not
    know of each other for ``--multi_gpu`` beside it. Its MULTI_GPU way with ACCELERATE_USE_CPU set starts
    them all, joined by gloo. Several machines meet at this one, unless the configuration says where.
    """
    values = dict(machine.values)
    if machine.num_machines > 1 and not values.get("main_process_ip"):
        values["main_process_ip"] = socket.getfqdn()
    if machine.is_cpu and machine.num_processes > 1:
        values.update(distributed_type="MULTI_GPU", use_cpu=False)
    if machine.num_processes > 1 and machine.num_machines == 1:
        values.setdefault("main_process_port", _free_port())
    return values


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _num_threads(parameters: TrainParameters, machine: Machine) -> int:
    """Return the threads of each process: as asked for, or the processors but one, shared."""
    if parameters.num_threads is not None:
        return parameters.num_threads
    processors = len(psutil.Process().cpu_affinity()) if platform.system() == "Linux" else os.cpu_count() or 1
    here = max(1, machine.num_processes // machine.num_machines)
    return max(1, (processors - 1) // here)


def environment(run: TrainingRun, machine: Machine) -> dict[str, str]:
    """Return the trainer's environment: this process's, and what training needs of it."""
    source = str(Path(skin_pipeline.__file__).parents[1])
    paths = [source, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    added = {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(run.parameters.num_threads or 1),
        "TRANSFORMERS_VERBOSITY": "error",
        PARENT_VARIABLE: process_mark(os.getpid()),
    }
    if machine.is_cpu:
        added["ACCELERATE_USE_CPU"] = "1"
        if platform.libc_ver()[0] == "glibc":
            added |= _GLIBC_ALLOCATOR
    return {**os.environ, **added}


# --- the child ------------------------------------------------------------------------------------------


def _prepare_folder(run: TrainingRun, machine: Machine) -> Path:
    """Write the trainer's files into the run's folder; return the path of its log."""
    run.folder.mkdir(parents=True, exist_ok=True)
    save_run(run, run.folder / "config.json")
    accelerate = yaml.safe_dump(launchable(machine), sort_keys=False)
    (run.folder / "accelerate.yaml").write_text(accelerate, encoding="utf-8")
    return run.folder / "log.txt"


def joining(run: TrainingRun, machine: Machine, rank: int) -> str:
    """Return the command that has another machine join a training, once this one has begun it.

    It reads the run's folder, which all machines must see under the same path.
    """
    use_cpu = "ACCELERATE_USE_CPU=1 " if machine.is_cpu else ""
    return use_cpu + shlex.join(["python", *_launch(run, rank)])


def _launch(run: TrainingRun, rank: int) -> list[str]:
    return [
        *("-m", "accelerate.commands.launch"),
        *("--config_file", str(run.folder / "accelerate.yaml")),
        *(("--machine_rank", str(rank)) if rank else ()),
        *("-m", "skin_pipeline.training"),
        *("--config", str(run.folder / "config.json")),
    ]


def _start(run: TrainingRun, machine: Machine, output: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own command line
        [sys.executable, *_launch(run, rank=0)],
        env=environment(run, machine),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@contextlib.contextmanager
def _ended_with_us(child: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Hand out a child, and see to it that its whole process group is gone at the end.

    SIGTERM to this process becomes an exception for the while, so that the way out leads through here.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _raise_exit) if in_main_thread else None
    try:
        yield child
    finally:
        _end_group(child)
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)


def _raise_exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End what is left of a child's process group: ask, wait while it saves, then kill."""
    if _group_members(child.pid):
        _ask_to_end(child.pid)
        _wait_for_end(child, _GRACE_SECONDS)
    if _group_members(child.pid):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        _wait_for_end(child, _KILL_SECONDS)
    child.wait()


def _ask_to_end(group: int) -> None:
    """Send SIGTERM to the trainers alone, or to the whole group when there are none yet or no more.

    accelerate's launcher, their parent, would give them half a minute and then kill them; processes that read
    data would die at once and have the trainer fail.
    """
    try:
        trainers = psutil.Process(group).children()
    except psutil.NoSuchProcess:
        trainers = []
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        if not trainers:
            os.killpg(group, signal.SIGTERM)
        for trainer in trainers:
            trainer.terminate()


def _wait_for_end(child: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait until no process of a group is left, or the time is over."""
    deadline = time.monotonic() + seconds
    while _group_members(child.pid) and time.monotonic() < deadline:
        child.poll()
        time.sleep(_POLL_SECONDS)


def _group_members(group: int) -> list[int]:
    """Return the living processes of a process group; zombies, which nobody may reap, do not count."""
    members = []
    for process in psutil.process_iter(["pid", "status"]):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            is_zombie = process.info["status"] == psutil.STATUS_ZOMBIE
            if not is_zombie and os.getpgid(process.info["pid"]) == group:
                members.append(process.info["pid"])
    return members


def _follow(child: subprocess.Popen[bytes], run: TrainingRun, on_row: OnRow | None) -> None:
    """Show progress and hand on metrics until the child has ended."""
    tail = MetricsTail(run.folder, run.attempt)
    size = run.parameters.train_batch_size
    with _progress_bar() as progress:
        total = run.parameters.max_train_steps * size
        bar = progress.add_task("training: loading", total=total)
        while True:
            has_ended = child.poll() is not None
            for row in tail.new_rows():
                if on_row is not None:
                    on_row({**row, "path": str(run.folder / row["path"])} if "path" in row else row)
                _show(progress, bar, row, size)
            if has_ended:
                return
            time.sleep(_POLL_SECONDS)


def _show(progress: Progress, bar: Any, row: Row, batch_size: int) -> None:
    match row["kind"]:
        case "start":
            progress.update(bar, completed=row["step"] * batch_size, description="training")
        case "train":
            text = (
                f"loss {row['loss']:.4f}, {row['images_per_second']:.1f} images/s,"
                f" {row['data_wait_share']:.0%} waiting for data, {row['peak_memory_gib']:.1f} GiB"
            )
            progress.update(bar, completed=row["images_seen"], description=text)
        case "validation" if "validation_loss" in row:
            logger.info("Step %d: held-out loss %.5f.", row["step"], row["validation_loss"])


def _progress_bar() -> Progress:
    """Return a bar in images on the console that Kedro logs to, so that log lines appear above it."""
    handlers = logging.getLogger().handlers
    console: Console | None = next((h.console for h in handlers if hasattr(h, "console")), None)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _explanation(run: TrainingRun, outcome: Outcome | None, status: int | None, log: Path) -> str:
    """Say why training did not finish and what to do."""
    if outcome is not None and outcome.status == "stopped":
        return (
            f"Training of run '{run.folder.name}' was asked to end and saved a checkpoint. Run the same"
            " command again to go on."
        )
    if outcome is not None and outcome.message:
        return outcome.message
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
    return "\n".join(
        [
            f"Training of run '{run.folder.name}' ended with status {status}. Running the same command again"
            f" resumes at the last checkpoint. The end of '{log}':",
            *lines,
        ]
    )
