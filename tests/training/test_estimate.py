"""The estimate of a run: parts known by hand, and peaks against what torch's allocator records."""

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.geometry import quads_of
from skin_pipeline.training import estimate
from skin_pipeline.training.backend import TextEmbeddings
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.estimate import MemoryEstimate, build_empty, describe, estimate_memory
from skin_pipeline.training.objective import predict, squared_errors
from skin_pipeline.training.optimizers import make_optimizer
from skin_pipeline.training.sdxl import SDXLFamily
from skin_pipeline.training.text_estimate import largest_legends
from skin_pipeline.training.text_legends import PictureLegends
from skin_pipeline.training.text_loss import TextLoss
from tests.training.conftest import MakeRun, random_batch
from tests.training.text_sets import LEGENDS, save_text_set, tiny_recognizer


def _parameters(base: Path, **changes: Any) -> TrainParameters:
    settings: dict[str, Any] = {
        "model_base": str(base),
        "conditioning_embedding_out_channels": (8, 8, 8, 16),
        "mixed_precision": "bf16",
        "resolution_px": 64,
        "train_batch_size": 4,
    }
    return TrainParameters(**{**settings, **changes})


def _estimate(
    base: Path, device_type: Any = "cpu", legends: tuple[PictureLegends, ...] = (), **changes: Any
) -> MemoryEstimate:
    p = _parameters(base, **changes)
    images = p.train_batch_size // p.gradient_accumulation_steps
    return estimate_memory(build_empty(p), p, p.mixed_precision, device_type, images, legends=legends)


def _num_parameters(base: Path) -> tuple[int, int]:
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet")
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8, 8, 16))
    return unet.num_parameters(), controlnet.num_parameters()


def test_parts_that_stay_are_known_by_hand(tiny_pipeline: Path) -> None:
    frozen, trained = _num_parameters(tiny_pipeline)
    parts = _estimate(tiny_pipeline, ema_decay=0.9).parts
    assert parts["unet"] == 2 * frozen
    assert parts["controlnet"] == parts["gradients"] == parts["moving_average"] == 4 * trained
    assert parts["optimizer"] == 8 * trained


def test_each_setting_saves_its_part(tiny_pipeline: Path) -> None:
    plain = _estimate(tiny_pipeline)
    eight_bit = _estimate(tiny_pipeline, optimizer="adamw_8bit")
    assert eight_bit.parts["optimizer"] == pytest.approx(
        plain.parts["optimizer"] * (2 + 1 / 32) / 8, rel=1e-4
    )
    full = _estimate(tiny_pipeline, mixed_precision="no")
    assert full.parts["unet"] == 2 * plain.parts["unet"]
    assert full.parts["activations"] > plain.parts["activations"]
    recomputing = _estimate(tiny_pipeline, gradient_checkpointing=True)
    assert recomputing.parts["activations"] < plain.parts["activations"]
    assert recomputing.peak < plain.peak
    light = _estimate(tiny_pipeline, controlnet_kind="lora", controlnet_lora_rank=4)
    assert light.parts["unet"] == plain.parts["unet"]
    assert light.parts["controlnet"] == light.parts["gradients"] < plain.parts["controlnet"] / 3
    passes = _estimate(tiny_pipeline, gradient_accumulation_steps=4)
    assert passes.parts["activations"] < plain.parts["activations"]


def test_average_elsewhere_costs_the_device_nothing(tiny_pipeline: Path) -> None:
    here = _estimate(tiny_pipeline, "cuda", ema_decay=0.9)
    there = _estimate(tiny_pipeline, "cuda", ema_decay=0.9, ema_device="cpu")
    assert there.parts["moving_average"] == 0
    assert here.peak - there.peak == here.parts["moving_average"]


def test_gpus_normalise_the_controlnet_in_fp32(tiny_pipeline: Path) -> None:
    on_gpu, on_processor = _estimate(tiny_pipeline, "cuda"), _estimate(tiny_pipeline, "cpu")
    assert on_gpu.parts["activations"] > on_processor.parts["activations"]


def test_dry_run_tells_settings_counts_memory_and_steps(make_run: MakeRun, tiny_pipeline: Path) -> None:
    run = make_run(train_batch_size=8, gradient_accumulation_steps=2)
    summary = json.loads(describe(run))
    frozen, trained = _num_parameters(tiny_pipeline)
    assert summary["num_parameters"] == {"unet_frozen": frozen, "controlnet_trained": trained}
    assert summary["memory_of"] == "one cpu process"
    assert set(summary["memory_gib"]) == {
        *("unet", "controlnet", "gradients", "optimizer", "moving_average", "activations"),
    }
    assert 0 < summary["memory_gib_peak"] <= sum(summary["memory_gib"].values()) + 0.002
    assert summary["images_per_pass_and_process"] == 4
    assert summary["steps"] * 8 == summary["images"] == 48
    assert not run.folder.exists()


def test_dry_run_refuses_a_batch_that_cannot_be_shared(make_run: MakeRun) -> None:
    run = make_run(train_batch_size=4).model_copy(update={"num_processes": 3})
    with pytest.raises(ConfigurationError, match=r"divisible by processes x .*\(3 x 1\)"):
        describe(run)


# --- where legends are read ---------------------------------------------------------------------------------

TEXTS = tuple(text for text, _ in LEGENDS)
QUADS = np.asarray([quad for _, quad in LEGENDS], dtype=float)
SCRATCH_BYTES = 2 * 2**20
READ = tuple(PictureLegends(TEXTS, QUADS, slot, is_sampled=slot == 3) for slot in range(4))


@pytest.fixture
def _tiny_recognizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "build_empty_recognizer", lambda *_: tiny_recognizer().to("meta"))


def _measured_peak(p: TrainParameters) -> int:
    """Return the peak of a real step, weights and the optimizer's moments included."""
    from benchmarks.trainer_memory import allocated_peak

    family, recognizer = SDXLFamily(p), tiny_recognizer()
    family.to(torch.device("cpu"), torch.bfloat16)
    optimizer = make_optimizer(family.parameter_groups(), p, torch.device("cpu"))
    autocast = partial(torch.autocast, "cpu", torch.bfloat16)

    def step() -> None:
        batch = random_batch(family, 4)
        pixel_values = torch.zeros_like(batch.conditioning_pixel_values)
        changes = {
            "legends": READ,
            "pixel_values": pixel_values,
            "timesteps": torch.tensor([9, 99, 199, 299]),
        }
        batch = type(batch)(**{**vars(batch), **changes})
        prediction, target = predict(family, family.controlnet, batch, autocast())
        no_text = TextEmbeddings(batch.prompt_embeds[:1], batch.pooled_prompt_embeds[:1])
        loss = TextLoss(family, p, recognizer, no_text)(family.controlnet, batch, prediction, autocast, 0)
        (squared_errors(prediction, target) + loss).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    parts = (*family.frozen_parts.values(), family.controlnet, recognizer)
    kept = [t for part in parts for t in (*part.parameters(), *part.buffers())]
    kept += [value for values in optimizer.state.values() for value in values.values()]
    return sum(t.numel() * t.element_size() for t in kept) + allocated_peak(step)


@pytest.mark.usefixtures("_tiny_recognizer")
@pytest.mark.parametrize(
    ("mode", "checkpointing"),
    [
        ("both", False),
        *(
            pytest.param(mode, checkpointing, marks=pytest.mark.slow)
            for mode in ("one_step", "last_steps", "two_states", "sampled")
            for checkpointing in (False, True)
        ),
    ],
)
def test_reading_is_estimated_as_it_is_measured(mode: str, checkpointing: bool, tiny_pipeline: Path) -> None:
    text: dict[str, Any] = {"mode": mode, "sampler_steps": 5, "latent_weight": 0.5}
    if mode == "two_states":
        text |= {"mode": "last_steps", "sampled_states": 2}
    changes = {"gradient_checkpointing": checkpointing, "text": text}
    found = _estimate(tiny_pipeline, legends=READ, **changes)
    measured = _measured_peak(_parameters(tiny_pipeline, **changes))
    # the allocator's record has the scratch memory of kernels too, which a tiny model feels
    assert found.peak == pytest.approx(measured, rel=0.01, abs=SCRATCH_BYTES)
    assert found.parts["text_loss"] > 0


@pytest.mark.usefixtures("_tiny_recognizer")
def test_measuring_holds_the_readers_weights_alone(tiny_pipeline: Path) -> None:
    plain = _estimate(tiny_pipeline)
    measuring = _estimate(tiny_pipeline, text={"measure": True})
    vae = SDXLFamily(_parameters(tiny_pipeline))._load_vae()
    assert measuring.parts["vae"] == 4 * vae.num_parameters()
    assert measuring.parts["activations"] == plain.parts["activations"]
    readers = measuring.parts["vae"] + measuring.parts["recognizer"]
    assert measuring.peak == plain.peak + readers
    assert "text_loss" not in measuring.parts


@pytest.mark.usefixtures("_tiny_recognizer")
def test_dry_run_counts_the_text_loss(make_run: MakeRun, tmp_path: Path) -> None:
    text_set = save_text_set(tmp_path / "set")
    run = make_run(dataset=text_set, text={"mode": "one_step", "max_boxes": 1})
    summary = json.loads(describe(run))
    assert {"vae", "recognizer", "text_loss"} <= summary["memory_gib"].keys()
    assert {"vae_frozen", "unet_frozen"} <= summary["num_parameters"].keys()


def test_the_largest_legends_are_counted(make_run: MakeRun, tmp_path: Path) -> None:
    text_set = save_text_set(tmp_path / "set")
    p = make_run(text={"mode": "both", "max_boxes": 1, "sampled_share": 0.5}).parameters
    legends = largest_legends(text_set, p, 4)
    assert [one.gt_text for one in legends] == [("空格",)] * 4  # 40 x 20, not 32 x 16
    assert [one.is_sampled for one in legends] == [True, True, False, False]
    assert legends[0].box.tolist() == quads_of([0, 0, 40, 20]).tolist()
    low = make_run(text={"mode": "both", "min_height_px": 18}).parameters
    assert [one.gt_text for one in largest_legends(text_set, low, 2)] == [("空格",)] * 2
    cropped = make_run(text={"mode": "both"}, crop_px=32).parameters
    assert [one.gt_text for one in largest_legends(text_set, cropped, 1)] == [("AB",)]


def test_without_a_set_legends_are_as_large_as_pictures(
    make_run: MakeRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    p = make_run(text={"mode": "one_step", "max_boxes": 2}).parameters
    with caplog.at_level(logging.WARNING):
        (legends,) = largest_legends(tmp_path, p, 1)
    assert legends.box.tolist() == quads_of([[0, 0, 64, 64]] * 2).tolist()
    assert "There is no training set" in caplog.text
