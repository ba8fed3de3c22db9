"""The launcher and the trainer as a program: real processes, real signals."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from skin_pipeline.errors import ConfigurationError, TrainingError
from skin_pipeline.training.config import TrainingRun, TrainParameters, save_run
from skin_pipeline.training.ending import read_outcome
from skin_pipeline.training.launcher import (
    Machine,
    environment,
    find_project_folder,
    launch_training,
    launchable,
    read_machine,
)
from skin_pipeline.training.lifecycle import EXIT_STOPPED, PARENT_VARIABLE, is_alive, process_mark
from skin_pipeline.training.metrics import read_metrics
from tests.training.conftest import MakeRun, train_here

PROJECT = Path(__file__).parents[2]
LONG = {"max_train_steps": 4000, "checkpointing_steps": 5, "lr_scheduler": "constant"}
WAIT_SECONDS = 240


def _start_trainer(run: TrainingRun, **variables: str) -> subprocess.Popen[bytes]:
    """Start the trainer without accelerate's launcher, which adds nothing to one process."""
    run.folder.mkdir(parents=True, exist_ok=True)
    save_run(run, run.folder / "config.json")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src"), **variables}
    command = [sys.executable, "-m", "skin_pipeline.training", "--config", str(run.folder / "config.json")]
    with (run.folder / "log.txt").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def _wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited {WAIT_SECONDS} s in vain for {what}")


def _wait_for_step(folder: Path, step: int) -> None:
    _wait_for(
        lambda: any(row["kind"] == "train" and row["step"] >= step for row in read_metrics(folder)),
        f"step {step}",
    )


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights" / "diffusion_pytorch_model.safetensors")


def test_a_killed_run_resumes_to_the_same_weights(make_run: MakeRun) -> None:
    settings = {"max_train_steps": 40, "checkpointing_steps": 5}
    killed = make_run("killed", **settings)
    trainer = _start_trainer(killed)
    try:
        _wait_for_step(killed.folder, 7)
    finally:
        trainer.kill()
        trainer.wait()
    assert not (killed.folder / "weights").exists()
    whole = make_run("whole", **settings)
    for run in (killed, whole):
        assert train_here(run)
    resumed, uninterrupted = _weights(killed.folder), _weights(whole.folder)
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in uninterrupted)


def test_sigterm_saves_and_says_so(make_run: MakeRun) -> None:
    run = make_run(**{**LONG, "checkpointing_steps": 3000})
    trainer = _start_trainer(run)
    try:
        _wait_for_step(run.folder, 2)
        trainer.send_signal(signal.SIGTERM)
        assert trainer.wait(WAIT_SECONDS) == EXIT_STOPPED
    finally:
        trainer.kill()
    outcome = read_outcome(run.folder, run.attempt)
    assert outcome is not None
    assert outcome.status == "stopped"
    last = [row["step"] for row in read_metrics(run.folder) if row["kind"] == "train"][-1]
    assert (run.folder / "checkpoints" / f"step_{last:08d}" / "COMPLETE").is_file()


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_parent_that_ends_leaves_a_checkpoint_and_no_training(
    number: signal.Signals, make_run: MakeRun, training_set: Path, tmp_path: Path
) -> None:
    """The whole of it: launcher, accelerate's launcher, trainer; then a signal to the first."""
    parameters = make_run(**LONG).parameters.model_copy(
        update={
            "run_folder": str(tmp_path / "runs"),
            "cache_folder": str(tmp_path / "cache"),
            "run_name": "orphan",
        }
    )
    (tmp_path / "parameters.json").write_text(parameters.model_dump_json())
    script = (
        "import json, sys, pathlib\n"
        "from skin_pipeline.training.config import TrainParameters\n"
        "from skin_pipeline.training.launcher import launch_training\n"
        "folder, data, project = map(pathlib.Path, sys.argv[1:])\n"
        "p = TrainParameters(**json.loads((folder / 'parameters.json').read_text()))\n"
        "launch_training(p, data, 'digest', project)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(training_set), str(PROJECT)]
    parent = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(PROJECT / "src")})
    try:
        _wait_for_step(tmp_path / "runs" / "orphan", 2)
        marks = [process_mark(child.pid) for child in psutil.Process(parent.pid).children(recursive=True)]
        assert len(marks) >= 2
        parent.send_signal(number)
        parent.wait(WAIT_SECONDS)
    finally:
        parent.kill()
    _wait_for(lambda: not any(map(is_alive, marks)), "the end of all its processes")
    assert list((tmp_path / "runs" / "orphan" / "checkpoints").glob("step_*/COMPLETE"))


def test_launched_training_reports_and_leaves_weights(
    make_run: MakeRun, training_set: Path, tmp_path: Path
) -> None:
    settings = {"run_folder": str(tmp_path / "runs"), "cache_folder": str(tmp_path / "cache")}
    parameters = make_run(max_train_steps=3, num_validation_pictures=1, validation_inference_steps=1)
    rows: list[dict[str, Any]] = []
    result = launch_training(
        parameters.parameters.model_copy(update=settings), training_set, "digest", PROJECT, rows.append
    )
    assert sorted(path.name for path in result.weights.iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "training.json",
    ]
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2, 3]
    assert [row["step"] for row in result.metrics if row["kind"] == "train"] == [1, 2, 3]
    assert all(
        Path(row["path"]).is_absolute() and Path(row["path"]).exists() for row in rows if "path" in row
    )


@pytest.mark.slow
def test_the_trainers_refusal_reaches_the_caller(
    make_run: MakeRun, training_set: Path, tmp_path: Path
) -> None:
    run = make_run("mine")
    run.folder.mkdir()
    (run.folder / "run.json").write_text('{"dataset": "another"}')
    parameters = run.parameters.model_copy(
        update={"run_folder": str(tmp_path), "cache_folder": str(tmp_path / "cache"), "run_name": "mine"}
    )
    with pytest.raises(TrainingError, match=r"was begun with something else.*dataset: 'another' -> '\w+'"):
        launch_training(parameters, training_set, "digest", PROJECT)


@pytest.mark.slow
def test_two_processes_are_two_and_train_alike(make_run: MakeRun, training_set: Path, tmp_path: Path) -> None:
    losses, weights = {}, {}
    for machine in ("cpu", "cpu_2"):
        parameters = make_run(max_train_steps=4, accelerate_config=machine).parameters.model_copy(
            update={"run_folder": str(tmp_path / machine), "cache_folder": str(tmp_path / "cache")}
        )
        result = launch_training(parameters, training_set, "digest", PROJECT)
        assert result.metrics[0]["num_processes"] == (1 if machine == "cpu" else 2)
        trained = [row for row in result.metrics if row["kind"] == "train"]
        losses[machine] = [(row["samples"], pytest.approx(row["loss"], rel=1e-5)) for row in trained]
        weights[machine] = _weights(result.folder)
    assert losses["cpu"] == losses["cpu_2"]
    for name, tensor in weights["cpu"].items():
        torch.testing.assert_close(weights["cpu_2"][name], tensor, rtol=1e-3, atol=2e-4)


class _Joining(logging.Handler):
    """Runs the command that the launcher logs for another machine, as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.others: list[subprocess.Popen[bytes]] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("Start machine"):
            paths = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
            variables = {**os.environ, **paths, "PYTHONPATH": str(PROJECT / "src")}
            command = text.partition(": ")[2]
            self.others.append(subprocess.Popen(command, shell=True, env=variables))  # noqa: S602 - our own


@pytest.mark.slow
def test_two_machines_train_together(make_run: MakeRun, training_set: Path, tmp_path: Path) -> None:
    """Two machines of one process each, both of them this one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    values = yaml.safe_load((PROJECT / "conf" / "accelerate" / "cpu_2.yaml").read_text())
    values |= {"num_machines": 2, "main_process_ip": "127.0.0.1", "main_process_port": port}
    values |= {"rdzv_backend": "static", "same_network": True}
    machine = tmp_path / "machines.yaml"
    machine.write_text(yaml.safe_dump(values))
    parameters = make_run(max_train_steps=3, accelerate_config=str(machine)).parameters.model_copy(
        update={"run_folder": str(tmp_path / "runs"), "cache_folder": str(tmp_path / "cache")}
    )
    joining, log = _Joining(), logging.getLogger("skin_pipeline.training.launcher")
    log.addHandler(joining)
    log.setLevel(logging.INFO)
    try:
        result = launch_training(parameters, training_set, "digest", PROJECT)
        (other,) = joining.others
        assert other.wait(WAIT_SECONDS) == 0
    finally:
        log.removeHandler(joining)
        for process in joining.others:
            process.kill()
    assert result.metrics[0]["num_processes"] == 2
    assert [row["step"] for row in result.metrics if row["kind"] == "train"] == [1, 2, 3]


# --- without processes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "num_processes"), [("cpu", 1), ("cpu_2", 2), ("gpu_1", 1), ("gpu_8", 8), ("nodes_2x8", 16)]
)
def test_shipped_machines_are_read(name: str, num_processes: int) -> None:
    machine = read_machine(name, PROJECT)
    assert machine.num_processes == num_processes
    assert machine.is_cpu is name.startswith("cpu")


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "conf" / "accelerate").glob("*.yaml")), ids=lambda p: p.stem
)
def test_accelerate_takes_what_is_written_for_a_shipped_machine(path: Path, tmp_path: Path) -> None:
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

    machine = read_machine(path.stem, PROJECT)
    written = tmp_path / "accelerate.yaml"
    written.write_text(yaml.safe_dump(launchable(machine)))
    config = load_config_from_file(str(written))
    assert isinstance(config, ClusterConfig)
    assert config.num_processes == machine.num_processes
    assert config.num_machines == machine.num_machines
    assert config.distributed_type.value == ("NO" if machine.num_processes == 1 else "MULTI_GPU")


def test_several_machines_meet_at_the_first() -> None:
    machine = read_machine("nodes_2x8", PROJECT)
    values = launchable(machine)
    assert values["main_process_ip"] == socket.getfqdn()
    assert values["main_process_port"] == 29500
    elsewhere = Machine({**machine.values, "main_process_ip": "10.0.0.1"}, 16, is_cpu=False, num_machines=2)
    assert launchable(elsewhere)["main_process_ip"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distributed_type": "FSDP"}, r"distributed_type FSDP; .*MULTI_GPU.*adamw_sharded"),
        ({"distributed_type": "DEEPSPEED"}, r"distributed_type DEEPSPEED"),
        ({"num_processes": 15}, r"num_processes 15, which its num_machines \(2\) does not divide"),
        ({"machine_rank": 1}, r"2 machines: expected machine_rank 0"),
        ({"main_process_port": None}, r"a main_process_port that they can reach"),
    ],
)
def test_a_machine_that_cannot_work_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    values = yaml.safe_load((PROJECT / "conf" / "accelerate" / "nodes_2x8.yaml").read_text())
    path = tmp_path / "machine.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}))
    with pytest.raises(ConfigurationError, match=message):
        read_machine(str(path), PROJECT)


def test_two_processes_on_processors_are_started_in_the_form_that_works() -> None:
    values = launchable(read_machine("cpu_2", PROJECT))
    assert (values["distributed_type"], values["use_cpu"], values["num_processes"]) == ("MULTI_GPU", False, 2)
    assert values["main_process_port"] > 0


def test_other_machines_are_started_as_written() -> None:
    written = yaml.safe_load((PROJECT / "conf" / "accelerate" / "gpu_8.yaml").read_text())
    values = launchable(read_machine("gpu_8", PROJECT))
    assert {name: values[name] for name in written} == written


def test_a_machine_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"'gpu_9' is neither .*cpu, cpu_2, gpu_1, gpu_8, nodes_2x8"):
        read_machine("gpu_9", PROJECT)


def test_a_file_that_is_no_machine_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text("- a\n")
    with pytest.raises(ConfigurationError, match="no accelerate configuration"):
        read_machine(str(path), PROJECT)


def test_the_trainers_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    run = TrainingRun(
        parameters=TrainParameters(num_threads=3),
        dataset_folder=tmp_path,
        folder=tmp_path,
        cache_folder=tmp_path,
    )
    cpu = environment(run, Machine({}, 1, is_cpu=True))
    assert cpu["OMP_NUM_THREADS"] == "3"
    assert cpu["HF_HUB_OFFLINE"] == "1"
    assert cpu["PYTHONPATH"].split(os.pathsep) == [str(PROJECT / "src"), "/somewhere"]
    assert cpu["ACCELERATE_USE_CPU"] == "1"
    assert is_alive(cpu[PARENT_VARIABLE])
    assert "ACCELERATE_USE_CPU" not in environment(run, Machine({}, 1, is_cpu=False))


def test_a_number_taken_over_by_another_process_is_not_alive() -> None:
    assert is_alive(process_mark(os.getpid()))
    assert not is_alive(f"{os.getpid()}:1.00")


def test_the_project_is_found_from_below(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    (tmp_path / "src" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "src" / "deep")
    assert find_project_folder() == tmp_path
