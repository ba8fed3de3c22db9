"""What a run would be, without loading any weights: parameter counts, memory by parts, steps."""

import json

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import nn

from skin_pipeline.base_models import resolve_base_model
from skin_pipeline.training.config import TrainingRun
from skin_pipeline.training.loop import resolve_mixed_precision

_GIB = 2**30
_FP32_BYTES = 4


def describe(run: TrainingRun) -> str:
    """Return the resolved configuration, counts, memory by parts and steps, as JSON for people.

    Memory is that of one process's weights, gradients and optimizer; activations come on top (they grow with
    the pictures of a pass and the square of the resolution, and gradient checkpointing cuts them).
    """
    p = run.parameters
    precision = resolve_mixed_precision(p.mixed_precision)
    unet, controlnet = _empty_models(run)
    frozen_bytes = _FP32_BYTES if precision == "no" else 2
    num_trained = _count(controlnet)
    memory = {
        "unet": _count(unet) * frozen_bytes,
        "controlnet_weights": num_trained * _FP32_BYTES,
        "controlnet_gradients": num_trained * _FP32_BYTES,
        "adamw_moments": num_trained * 2 * _FP32_BYTES,
        "moving_average": num_trained * _FP32_BYTES if p.ema_decay else 0,
    }
    resolved = {"mixed_precision": precision, "fast_start": p.is_fast_start}
    per_pass = p.train_batch_size / (run.num_processes * p.gradient_accumulation_steps)
    summary = {
        "parameters": {**p.model_dump(mode="json"), **resolved},
        "num_parameters": {"unet_frozen": _count(unet), "controlnet_trained": num_trained},
        "memory_gib": {name: round(size / _GIB, 3) for name, size in memory.items()},
        "memory_gib_without_activations": round(sum(memory.values()) / _GIB, 3),
        "steps": p.max_train_steps,
        "images": p.max_train_steps * p.train_batch_size,
        "images_per_pass_and_process": per_pass,
        "run_folder": str(run.folder),
    }
    return json.dumps(summary, indent=2, ensure_ascii=False) + "\n"


def _empty_models(run: TrainingRun) -> tuple[nn.Module, nn.Module]:
    """Return UNet and ControlNet without storage."""
    location = resolve_base_model(run.parameters.model_base, "train.model_base")
    config = UNet2DConditionModel.load_config(location, subfolder="unet")
    channels = run.parameters.conditioning_embedding_out_channels
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
        controlnet = ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=channels, load_weights_from_unet=False
        )
    return unet, controlnet


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
