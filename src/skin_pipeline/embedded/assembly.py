"""Put the trained parts together as a diffusers pipeline folder and a ControlNet folder in half precision."""

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from skin_pipeline.embedded.architecture import build_scheduler


def assemble(autoencoder: Path, denoiser: Path, folder: Path) -> None:
    """Write ``folder/sdxl_micro`` (the base model) and ``folder/controlnet_canny``, float16 safetensors.

    Empty prompts are encoded as text, as they were in training, not replaced with zeros
    (``force_zeros_for_empty_prompt``).
    """
    tokenizer = CLIPTokenizer.from_pretrained(denoiser / "tokenizer")
    pipeline = StableDiffusionXLPipeline(
        vae=AutoencoderKL.from_pretrained(autoencoder),
        text_encoder=CLIPTextModel.from_pretrained(denoiser / "text_encoder"),
        text_encoder_2=CLIPTextModelWithProjection.from_pretrained(denoiser / "text_encoder_2"),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=UNet2DConditionModel.from_pretrained(denoiser / "unet"),
        scheduler=EulerDiscreteScheduler.from_config(build_scheduler().config),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(folder / "sdxl_micro")
    controlnet = ControlNetModel.from_pretrained(denoiser / "controlnet")
    controlnet.to(dtype=torch.float16).save_pretrained(folder / "controlnet_canny")
    for config in folder.rglob("config.json"):
        _forget_origin(config)


def _forget_origin(config: Path) -> None:
    """Drop the path that a part was loaded from: the same weights shall be the same bytes everywhere."""
    values = json.loads(config.read_text(encoding="utf-8"))
    values.pop("_name_or_path", None)
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
