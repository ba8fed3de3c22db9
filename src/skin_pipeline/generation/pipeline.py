"""Load an SDXL base model and a ControlNet as a diffusers pipeline that is ready to sample."""

from pathlib import Path

import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionXLControlNetPipeline,
    UniPCMultistepScheduler,
)
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.generation.weights import WeightsSource

SCHEDULERS = {"unipc": UniPCMultistepScheduler, "euler": EulerDiscreteScheduler, "ddim": DDIMScheduler}
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_MUST_AGREE = (
    "in_channels",
    "cross_attention_dim",
    "block_out_channels",
    "projection_class_embeddings_input_dim",
)


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is the GPU where there is one.

    Raises:
        ConfigurationError: This machine has no such device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available[name]:
        raise ConfigurationError(
            f"inference.device is {name}, which this machine does not have. Set it to auto."
        )
    return torch.device(name)


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the number format of that name; ``auto`` depends on the device."""
    if name != "auto":
        return _DTYPES[name]
    if device.type == "cpu":
        return torch.float32
    # bf16 has fp32's range: SDXL's autoencoder overflows in fp16 and has to be upcast for every picture
    bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if bf16 else torch.float16


def load_pipeline(
    parameters: InferenceParameters, base: WeightsSource, controlnet_folder: Path
) -> StableDiffusionXLControlNetPipeline:
    """Load the base model, put the ControlNet beside it and make both ready.

    The sampler is built from the base model's own noise schedule, so that what it predicts (noise or v), the
    spacing of its timesteps and a zero terminal SNR are kept.

    Args:
        parameters: Sampler, dtype, device, attention, offload and compilation.
        base: Where the base model is.
        controlnet_folder: A ControlNet as ``save_pretrained`` writes it.

    Raises:
        ConfigurationError: The ControlNet was made for another base model, or the machine lacks what the
            parameters ask for.
    """
    device = resolve_device(parameters.device)
    dtype = resolve_dtype(parameters.dtype, device)
    if parameters.offload != "none" and device.type == "cpu":
        raise ConfigurationError(
            f"inference.offload is '{parameters.offload}', but there is no GPU to move models off."
            " Set it to none."
        )
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()  # the run has a bar of its own
        library.set_verbosity_error()  # what matters of what they say is said by this project, once
    pipeline = StableDiffusionXLControlNetPipeline.from_pretrained(
        base.location,
        revision=base.revision,
        controlnet=ControlNetModel.from_pretrained(controlnet_folder, dtype=dtype, use_safetensors=True),
        variant=parameters.variant,
        dtype=dtype,
        use_safetensors=True,
        add_watermarker=False,
    )
    _check_match(pipeline, parameters.base_model)
    pipeline.scheduler = SCHEDULERS[parameters.scheduler].from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    _place(pipeline, parameters, device)
    return pipeline


def _check_match(pipeline: StableDiffusionXLControlNetPipeline, base_model: str) -> None:
    unet, controlnet = pipeline.unet.config, pipeline.controlnet.config
    for name in _MUST_AGREE:
        if _plain(unet[name]) != _plain(controlnet[name]):
            raise ConfigurationError(
                f"The ControlNet was trained for another base model than inference.base_model '{base_model}':"
                f" its {name} is {controlnet[name]}, the UNet's {unet[name]}. Set the base model it was"
                " trained on."
            )


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple | list) else value


def _place(
    pipeline: StableDiffusionXLControlNetPipeline, parameters: InferenceParameters, device: torch.device
) -> None:
    """Move the models to where they run and apply what trades speed for memory."""
    if parameters.attention == "slicing":
        pipeline.enable_attention_slicing("max")  # "auto" halves the heads and fails on models with one
        pipeline.vae.enable_slicing()
    if parameters.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif parameters.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)
    if parameters.compile:
        pipeline.unet = torch.compile(pipeline.unet)
        pipeline.controlnet = torch.compile(pipeline.controlnet)
