"""The estimate of a run: parts known by hand, and peaks against what torch's allocator records."""

import json
from pathlib import Path
from typing import Any

import pytest
from diffusers import ControlNetModel, UNet2DConditionModel

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.estimate import MemoryEstimate, build_empty, describe, estimate_memory
from tests.training.conftest import MakeRun


def _estimate(base: Path, device_type: Any = "cpu", **changes: Any) -> MemoryEstimate:
    settings: dict[str, Any] = {
        "model_base": str(base),
        "conditioning_embedding_out_channels": (8, 8, 8, 16),
        "mixed_precision": "bf16",
        "resolution_px": 64,
        "train_batch_size": 4,
    }
    p = TrainParameters(**{**settings, **changes})
    images = p.train_batch_size // p.gradient_accumulation_steps
    return estimate_memory(build_empty(p), p, p.mixed_precision, device_type, images)


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
