"""Training on pictures of several sizes, in this process."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from skin_pipeline.training import loop
from skin_pipeline.training.config import TrainingRun
from skin_pipeline.training.launcher import launch_training
from skin_pipeline.training.metrics import deterministic_rows, read_metrics
from skin_pipeline.training.sampling import SampleOrder
from tests.tiny_models import save_training_set
from tests.training.conftest import MakeRun, train_here

PROJECT = Path(__file__).parents[2]
SIZES = ((64, 64), (150, 50), (50, 160), (70, 60))
BUCKETS = ((64, 64), (96, 32), (32, 96), (64, 64))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_training_set(tmp_path_factory.mktemp("data") / "mixed", 9, 4, sizes_px=SIZES)


@pytest.fixture
def make_mixed_run(make_run: MakeRun, mixed: Path) -> MakeRun:
    def make(name: str = "run", **changes: Any) -> TrainingRun:
        return make_run(name, **{"dataset": mixed, "bucket_step_px": 32, "max_train_steps": 8, **changes})

    return make


def _weights(run: TrainingRun) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "weights" / "diffusion_pytorch_model.safetensors")


def _rows(run: TrainingRun) -> list[dict[str, Any]]:
    return deterministic_rows(read_metrics(run.folder))


def _assert_same(one: TrainingRun, other: TrainingRun) -> None:
    assert _rows(one) == _rows(other)
    first, second = _weights(one), _weights(other)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_every_batch_is_of_one_bucket_and_all_are_trained_on(
    make_mixed_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    predict = loop.predict

    def watched(backend: Any, controlnet: Any, batch: Any, autocast: Any) -> Any:
        height, width = batch.conditioning_pixel_values.shape[-2:]
        assert batch.latents.shape[-2:] == (height // 8, width // 8)
        assert {tuple(row[-2:]) for row in batch.sizes.tolist()} == {(height, width)}
        seen.append((width, height))
        return predict(backend, controlnet, batch, autocast)

    monkeypatch.setattr(loop, "predict", watched)
    train_here(make_mixed_run())
    assert len(seen) == 8
    assert set(seen) == set(BUCKETS)


def test_passes_of_a_step_add_up_to_it(make_mixed_run: MakeRun) -> None:
    """All passes of a step are of its one bucket, so their mean is the step's."""
    runs = [make_mixed_run(f"passes_{n}", gradient_accumulation_steps=n, max_train_steps=4) for n in (1, 2)]
    for run in runs:
        train_here(run)
    one, two = (_rows(run) for run in runs)
    assert [row["samples"] for row in one] == [row["samples"] for row in two]
    assert [row["loss"] for row in one] == pytest.approx([row["loss"] for row in two], rel=1e-5)
    assert [row["grad_norm"] for row in one] == pytest.approx([row["grad_norm"] for row in two], rel=1e-4)


def test_resumed_between_buckets_is_uninterrupted(
    make_mixed_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = make_mixed_run("whole"), make_mixed_run("broken")
    train_here(whole)
    step = loop._Training.step

    def step_then_ask(self: Any, number: int, *args: Any) -> Any:
        if number == 2:
            self.stop.set("test")
        return step(self, number, *args)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "step", step_then_ask)
        assert not train_here(broken)
    assert train_here(broken)
    _assert_same(whole, broken)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")  # on small machines
def test_readers_in_other_processes_change_nothing(make_mixed_run: MakeRun) -> None:
    runs = [make_mixed_run(f"workers_{n}", dataloader_num_workers=n) for n in (0, 1, 4)]
    for run in runs:
        train_here(run)
    _assert_same(runs[0], runs[1])
    _assert_same(runs[0], runs[2])


@pytest.mark.slow
def test_two_processes_train_as_one_does(make_mixed_run: MakeRun, mixed: Path, tmp_path: Path) -> None:
    rows, weights = [], []
    for machine in ("cpu", "cpu_2"):
        run = make_mixed_run(accelerate_config=machine, num_validation_samples=3)
        folders = {"run_folder": str(tmp_path / machine), "cache_folder": str(tmp_path / "cache")}
        parameters = run.parameters.model_copy(update=folders)
        result = launch_training(parameters, mixed, "digest", PROJECT)
        assert result.metrics[0]["num_processes"] == (1 if machine == "cpu" else 2)
        rows.append([row for row in result.metrics if row["kind"] in {"train", "validation"}])
        weights.append(load_file(result.folder / "weights" / "diffusion_pytorch_model.safetensors"))
    for one, two in zip(*rows, strict=True):
        assert one.get("samples") == two.get("samples")
        loss = "loss" if one["kind"] == "train" else "validation_loss"
        assert one[loss] == pytest.approx(two[loss], rel=1e-5)
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=2e-4)


def test_held_out_skins_are_measured_and_drawn_at_their_own_sizes(make_mixed_run: MakeRun) -> None:
    settings = {
        "max_train_steps": 1,
        "num_validation_samples": 4,
        "num_validation_pictures": 3,
        "num_timestep_buckets": 2,
        "validation_inference_steps": 2,
    }
    runs = [make_mixed_run(f"batches_of_{n}", train_batch_size=n, **settings) for n in (1, 4)]
    for run in runs:
        train_here(run)
    alone, together = (
        next(row for row in _rows(run) if row["kind"] == "validation" and row["step"] == 0) for run in runs
    )
    losses = [name for name in alone if name.startswith("validation_loss")]
    assert len(losses) == 3
    for name in losses:
        assert alone[name] == pytest.approx(together[name], rel=1e-5)
    # held out are the 10th to 12th: of 96x32, 32x96 and 64x64
    with Image.open(runs[1].folder / "pictures" / "step_00000000.png") as sheet:
        assert sheet.size == (3 * 96 + 2 * 4, 32 + 96 + 64 + 2 * 4)


def test_random_crops_mix_all_shapes_in_one_batch(
    make_mixed_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    predict = loop.predict

    def watched(backend: Any, controlnet: Any, batch: Any, autocast: Any) -> Any:
        assert batch.conditioning_pixel_values.shape[-2:] == (32, 32)
        seen.append([sample_id[-1] for sample_id in batch.sample_ids])
        return predict(backend, controlnet, batch, autocast)

    monkeypatch.setattr(loop, "predict", watched)
    train_here(make_mixed_run(crop_px=32, max_train_steps=3))
    order = SampleOrder(num_samples=9, batch_size=4, seed=0)
    assert seen == [[str(draw.index) for draw in order.batch(step)] for step in range(3)]
