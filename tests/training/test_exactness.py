"""A training that is interrupted, killed or shared is the one that is not, to the last bit."""

import itertools
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from skin_pipeline.training.checkpoints import Checkpoints, is_complete, step_of
from skin_pipeline.training.config import TrainingRun
from skin_pipeline.training.ending import read_outcome
from skin_pipeline.training.lifecycle import EXIT_STOPPED
from skin_pipeline.training.metrics import deterministic_rows, read_metrics
from tests.tiny_models import save_training_set
from tests.training import forked
from tests.training.conftest import MakeRun

pytestmark = pytest.mark.slow

SIDE_PX = 32
PICTURES = 12
BATCH = 4  # so three steps are an epoch
KILLED = -9
SUMS_TOLERANCE = 1e-4
"""Two processes add gradients up in another order; in 20 steps of Adam that grows to 1e-5 of the loss."""


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_training_set(tmp_path_factory.mktemp("small") / "set", PICTURES, 2, SIDE_PX)


@pytest.fixture
def make_small(make_run: MakeRun, small_set: Path) -> MakeRun:
    """Make runs of tiny pictures with everything random switched on, and a moving average."""

    def make(name: str, **changes: Any) -> TrainingRun:
        settings = {
            "resolution_px": SIDE_PX,
            "train_batch_size": BATCH,
            "caption_dropout": 0.3,
            "control_dropout": 0.2,
            "ema_decay": 0.9,
            "lr_scheduler": "constant",
            "checkpointing_steps": 1000,
            "log_steps": 7,
        }
        return make_run(name, small_set, **{**settings, **changes})

    return make


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, TrainingRun]:
    """Uninterrupted runs by their accumulated passes, each made once."""
    return {}


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Compare nested states bit for bit."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}/{number}")
    else:
        assert one == other, where


def state_of(run: TrainingRun) -> dict[str, Any]:
    """Return weights, optimizer, moving average and pending losses of the newest checkpoint."""
    latest = Checkpoints(run.folder, None).latest()
    assert latest is not None
    state = latest / "state"
    pickled = [*sorted(state.glob("*.bin")), *sorted(state.glob("custom_checkpoint_*.pkl"))]
    assert len(pickled) == 3  # optimizer, pending losses, moving average
    return {
        "step": step_of(latest),
        "weights": load_file(state / "model.safetensors"),
        "published": load_file(latest / "weights" / "diffusion_pytorch_model.safetensors"),
        **{path.name: torch.load(path) for path in pickled},
    }


def assert_same_training(run: TrainingRun, whole: TrainingRun) -> None:
    """Compare two finished runs: states, reported figures, and the pictures of every step."""
    assert_same(state_of(run), state_of(whole))
    rows = [deterministic_rows(read_metrics(r.folder)) for r in (run, whole)]
    assert rows[0] == rows[1]
    assert len(rows[0]) > 1
    steps = range(whole.parameters.max_train_steps)
    seen = [forked.samples_seen(r) for r in (run, whole)]
    assert [seen[0][step] for step in steps] == [seen[1][step] for step in steps]


# --- resumed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("passes", [1, 4])
@pytest.mark.parametrize(
    "first_part",
    [
        pytest.param(1, id="after the first step"),
        pytest.param(49, id="in an epoch"),
        pytest.param(50, id="before an epoch's last step"),
        pytest.param(51, id="between two epochs"),
    ],
)
def test_a_hundred_steps_are_two_halves(
    first_part: int, passes: int, make_small: MakeRun, whole_runs: dict[int, TrainingRun]
) -> None:
    settings = {"max_train_steps": 100, "gradient_accumulation_steps": passes}
    if passes not in whole_runs:
        whole_runs[passes] = make_small("whole", **settings)
        assert forked.train(whole_runs[passes], forked.NotingSamples()) == 0
    halves = make_small("halves", **settings)
    assert forked.train(halves, forked.NotingSamples(), forked.StoppingAt(first_part)) == EXIT_STOPPED
    assert state_of(halves)["step"] == first_part
    assert forked.train(halves, forked.NotingSamples()) == 0
    assert_same_training(halves, whole_runs[passes])


def test_batches_across_epochs_resume(make_run: MakeRun, small_set: Path, make_small: MakeRun) -> None:
    """With batches of five of twelve pictures no epoch ends where a batch does."""
    settings = {"max_train_steps": 24, "train_batch_size": 5}
    whole, halves = make_small("whole", **settings), make_small("halves", **settings)
    assert forked.train(whole, forked.NotingSamples()) == 0
    for first_part in (2, 3, 12):
        stopping = forked.StoppingAt(first_part)
        assert forked.train(halves, forked.NotingSamples(), stopping) == EXIT_STOPPED
    assert forked.train(halves, forked.NotingSamples()) == 0
    assert_same_training(halves, whole)


# --- killed ----------------------------------------------------------------------------------------------


def test_fifty_kills_change_nothing(make_small: MakeRun) -> None:
    """Killed at any moment: while loading, in a step, in a save. No run could get to the end unkilled."""
    settings = {"checkpointing_steps": 4, "checkpoints_total_limit": 1}
    endless = make_small("killed", max_train_steps=100_000, **settings)
    random = forked.draws(0)
    reached = []
    for _ in range(50):
        trainer = forked.start(endless, forked.NotingSamples())
        assert forked.kill_after(trainer, random.uniform(0.2, 1.6)) == KILLED
        latest = Checkpoints(endless.folder, None).latest()
        reached.append(step_of(latest) if latest else 0)
    assert reached == sorted(reached)
    assert len(set(reached)) > 5, "the kills left no time to train"

    num_steps = reached[-1] + 5
    killed = make_small("killed", max_train_steps=num_steps, **settings)
    whole = make_small("whole", max_train_steps=num_steps)
    for run in (killed, whole):
        assert forked.train(run, forked.NotingSamples()) == 0
    assert_same_training(killed, whole)


@pytest.mark.parametrize("way", ["operation", "time"])
def test_kills_inside_a_save_leave_a_checkpoint(way: str, make_small: MakeRun) -> None:
    """Fifty times: one checkpoint is kept, the trainer dies while it writes the next."""
    settings = {"checkpointing_steps": 1, "checkpoints_total_limit": 1}
    run = make_small("run", max_train_steps=100_000, **settings)
    measuring = (forked.NotingSamples(), forked.KillingInSave(2), forked.StoppingAt(2))
    assert forked.train(run, *measuring) == EXIT_STOPPED
    num_operations, seconds = json.loads((run.folder / "save.txt").read_text())
    random = forked.draws(1)
    kills, torn = 0, 0
    for attempt in itertools.count():
        assert attempt < 200, "hardly any kill met a save"
        before = Checkpoints(run.folder, None).latest()
        assert before is not None
        if way == "operation":
            killing = forked.KillingInSave(random.randint(1, 2), operation=random.randrange(num_operations))
        else:
            killing = forked.KillingInSave(random.randint(1, 2), seconds=random.uniform(0, seconds))
        trainer = forked.start(run, forked.NotingSamples(), killing)
        if forked.wait(trainer) != KILLED:
            raise AssertionError(forked.log_of(run))
        if not forked.died_in_save(run):
            continue
        kills += 1
        torn += check_what_is_left(run, step_of(before))
        if kills == 50:
            break
    assert torn > 5, "no kill left a checkpoint half written"
    if torn:
        assert "is not complete and is left out: it has no mark" in forked.log_of(run)

    reached = step_of(Checkpoints(run.folder, None).complete()[-1])
    finished = make_small("run", max_train_steps=reached + 2, **settings)
    whole = make_small("whole", max_train_steps=reached + 2)
    for each in (finished, whole):
        assert forked.train(each, forked.NotingSamples()) == 0
    assert_same_training(finished, whole)


def check_what_is_left(run: TrainingRun, step_before: int) -> bool:
    """Check that a complete checkpoint is left, whole and none the older; tell whether one is torn."""
    latest = Checkpoints(run.folder, None).latest()
    assert latest is not None
    assert step_of(latest) >= step_before
    state_of(run)  # every file of it can be read
    return any(not is_complete(path) for path in (run.folder / "checkpoints").iterdir())


# --- a full disk -----------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Return a maker, and later enlarger, of a small disk."""
    folder = tmp_path / "disk"

    def make(num_bytes: int) -> Path:
        how = ["-o", f"remount,size={num_bytes}"] if folder.exists() else ["-o", f"size={num_bytes}"]
        folder.mkdir(exist_ok=True)
        made = subprocess.run(
            ["mount", "-t", "tmpfs", *how, "tmpfs", folder], capture_output=True, check=False
        )
        if made.returncode:
            pytest.skip("needs the right to mount a small disk")
        return folder

    yield make
    subprocess.run(["umount", "--lazy", folder], capture_output=True, check=False)


@pytest.mark.parametrize("room", [0.1, 0.4, 0.7, 0.95])
def test_a_full_disk_keeps_the_last_checkpoint(
    room: float, make_small: MakeRun, disk: Callable[[int], Path]
) -> None:
    """A real one, full at several places of the second save; with more room the run goes on as if nothing."""
    settings = {"max_train_steps": 4, "log_steps": 1}
    settings |= {"checkpointing_steps": 2, "checkpoints_total_limit": 1}
    whole = make_small("whole", **settings)
    assert forked.train(whole, forked.NotingSamples()) == 0
    size = size_of(whole.folder / "checkpoints")
    folder = disk(int(size * (1 + room))) / "run"
    run = make_small("small", **settings).model_copy(update={"folder": folder})
    assert forked.train(run, forked.NotingSamples()) == 1
    outcome = read_outcome(run.folder, run.attempt)
    assert outcome is not None
    assert outcome.status == "failed"
    assert re.search(
        r"step 4 could not be written: .*Last complete checkpoint: step_00000002\. Free space in",
        outcome.message,
    )
    assert state_of(run)["step"] == 2
    disk(8 * size)
    assert forked.train(run, forked.NotingSamples()) == 0
    assert_same_training(run, whole)


def size_of(folder: Path) -> int:
    """Return the bytes that a folder takes, linked files counted once."""
    sizes = {path.stat().st_ino: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return sum(sizes.values())


# --- shared ----------------------------------------------------------------------------------------------


def test_processes_that_read_ahead_change_nothing(make_small: MakeRun) -> None:
    runs = [make_small(f"workers_{n}", dataloader_num_workers=n, max_train_steps=8) for n in (0, 1, 4)]
    for run in runs:
        assert forked.train(run, forked.NotingSamples()) == 0
    for run in runs[1:]:
        assert_same_training(run, runs[0])


def test_two_processes_are_one(make_small: MakeRun) -> None:
    """The same pictures in the same steps to the letter; losses and weights but for the order of sums."""
    settings = {"max_train_steps": 20, "log_steps": 1}
    one, two = make_small("one", **settings), make_small("two", **settings)
    assert forked.train(one, forked.NotingSamples()) == 0
    assert forked.train_with_processes(two, 2, forked.NotingSamples()) == [0, 0]
    assert read_metrics(two.folder)[0]["num_processes"] == 2
    of_one, of_rank = forked.samples_seen(one), [forked.samples_seen(two, rank) for rank in (0, 1)]
    assert all(of_one[step] == of_rank[0][step] + of_rank[1][step] for step in range(20))
    rows_of_one, rows_of_two = (deterministic_rows(read_metrics(run.folder)) for run in (one, two))
    assert [row["samples"] for row in rows_of_one] == [row["samples"] for row in rows_of_two]
    for row, other in zip(rows_of_one, rows_of_two, strict=True):
        assert other["loss"] == pytest.approx(row["loss"], rel=SUMS_TOLERANCE)
    weights, others = state_of(one)["weights"], state_of(two)["weights"]
    for name, tensor in weights.items():
        torch.testing.assert_close(others[name], tensor, rtol=0, atol=2 * one.parameters.learning_rate)


def test_a_shared_out_optimizer_is_the_whole_one(make_small: MakeRun) -> None:
    """Bit for bit, also when it resumes, and what it saved goes on in a single process."""
    settings = {"max_train_steps": 12}
    whole = make_small("whole", **settings)
    assert forked.train_with_processes(whole, 2, forked.NotingSamples()) == [0, 0]
    shared = make_small("shared", optimizer="adamw_sharded", **settings)
    statuses = forked.train_with_processes(shared, 2, forked.NotingSamples(), forked.StoppingAt(5))
    assert statuses == [EXIT_STOPPED, EXIT_STOPPED]
    assert forked.train_with_processes(shared, 2, forked.NotingSamples()) == [0, 0]
    assert_same_training(shared, whole)
    alone = make_small("shared", optimizer="adamw_sharded", **{**settings, "max_train_steps": 14})
    assert forked.train(alone, forked.NotingSamples()) == 0
    assert state_of(alone)["step"] == 14


def test_another_number_of_processes_may_go_on(make_small: MakeRun) -> None:
    settings = {"max_train_steps": 8, "log_steps": 1}
    whole, changed = make_small("whole", **settings), make_small("changed", **settings)
    assert forked.train(whole, forked.NotingSamples()) == 0
    statuses = forked.train_with_processes(changed, 2, forked.NotingSamples(), forked.StoppingAt(4))
    assert statuses == [EXIT_STOPPED, EXIT_STOPPED]
    assert forked.train(changed, forked.NotingSamples()) == 0
    rows = [deterministic_rows(read_metrics(run.folder)) for run in (whole, changed)]
    assert [row["samples"] for row in rows[0]] == [row["samples"] for row in rows[1]]
    for row, other in zip(*rows, strict=True):
        assert other["loss"] == pytest.approx(row["loss"], rel=SUMS_TOLERANCE)
