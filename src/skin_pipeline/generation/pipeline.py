"""Load a base model and a ControlNet as a diffusers pipeline that is ready to sample."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3ControlNetModel,
    StableDiffusion3ControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
    UniPCMultistepScheduler,
)
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from skin_pipeline.base_models import absent_parts, check_controlnet_fits, family_of
from skin_pipeline.errors import ConfigurationError
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.generation.weights import WeightsSource
from skin_pipeline.mean_autoencoder import MeanAutoencoderKL

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Sampling:
    """How pictures are sampled with models of one family.

    Attributes:
        pipeline: diffusers' class.
        controlnet: diffusers' class.
        denoiser: The pipeline's name of what is steered.
        control_argument: The pipeline's name of the control image.
        control_range: Least and largest value of the control image; diffusers takes tensors as they are.
        prompt_arguments: What encoding a prompt needs besides.
        must_agree: Configuration that the ControlNet has in common with the denoiser it was trained for.
        schedulers: Makers of samplers by name, each from the base model's own noise schedule.
        can_slice: Whether the denoiser can attend head by head.
        own_parts: Parts that are loaded otherwise than the pipeline would, from where the base model is and
            what it is loaded with.
    """

    pipeline: type
    controlnet: type
    denoiser: str
    control_argument: str
    control_range: tuple[float, float]
    prompt_arguments: Mapping[str, None]
    must_agree: tuple[str, ...]
    schedulers: Mapping[str, Callable[[Any], Any]]
    can_slice: bool
    own_parts: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]

    def denoiser_of(self, pipeline: Any) -> Any:
        """Return the UNet or the transformer."""
        return getattr(pipeline, self.denoiser)

    def control_of(self, pictures: Any) -> dict[str, torch.Tensor]:
        """Return the pipeline's argument for control images (B, H, W, 3) uint8."""
        least, largest = self.control_range
        shares = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        return {self.control_argument: least + (largest - least) * shares}

    def sides_px(self, pipeline: Any) -> tuple[int, int | None]:
        """Return what a picture's sides must be multiples of, and the longest side, if there is one."""
        config, cell = self.denoiser_of(pipeline).config, int(pipeline.vae_scale_factor)
        if "pos_embed_max_size" not in config:
            return cell, None
        patch = cell * int(config.patch_size)
        return patch, patch * int(config.pos_embed_max_size)

    def longest_reader(self, pipeline: Any) -> tuple[Any, int]:
        """Return the tokenizer that sees most of a prompt, and how many tokens it sees."""
        t5 = getattr(pipeline, "tokenizer_3", None)
        return (pipeline.tokenizer, pipeline.tokenizer.model_max_length) if t5 is None else (t5, T5_TOKENS)


T5_TOKENS = 256
"""SD3's pipeline's own ``max_sequence_length``."""


def _flow_unipc(config: Any) -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler.from_config(
        config, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=config["shift"]
    )


def _sd3_parts(location: str, how: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a VAE that encodes the control without chance, and nothing for what an SD3 without T5 lacks."""
    vae = MeanAutoencoderKL.from_pretrained(location, subfolder="vae", **how)
    absent = [name for name in absent_parts(location, "inference.base_model") if name.endswith("_3")]
    return {"vae": vae, **dict.fromkeys(absent)}


SAMPLING = {
    "sdxl": Sampling(
        pipeline=StableDiffusionXLControlNetPipeline,
        controlnet=ControlNetModel,
        denoiser="unet",
        control_argument="image",
        control_range=(0.0, 1.0),
        prompt_arguments={},
        must_agree=(
            "in_channels",
            "cross_attention_dim",
            "block_out_channels",
            "projection_class_embeddings_input_dim",
        ),
        schedulers={
            "unipc": UniPCMultistepScheduler.from_config,
            "euler": EulerDiscreteScheduler.from_config,
            "ddim": DDIMScheduler.from_config,
        },
        can_slice=True,
        own_parts=lambda _location, _how: {"add_watermarker": False},
    ),
    "sd3": Sampling(
        pipeline=StableDiffusion3ControlNetPipeline,
        controlnet=SD3ControlNetModel,
        denoiser="transformer",
        control_argument="control_image",
        control_range=(-1.0, 1.0),
        prompt_arguments={"prompt_2": None, "prompt_3": None},
        must_agree=(
            "in_channels",
            "attention_head_dim",
            "num_attention_heads",
            "patch_size",
            "pooled_projection_dim",
        ),
        schedulers={"unipc": _flow_unipc, "euler": FlowMatchEulerDiscreteScheduler.from_config},
        can_slice=False,
        own_parts=_sd3_parts,
    ),
}
"""By the names of :data:`skin_pipeline.base_models.FAMILIES`."""


def sampling_of(pipeline: Any) -> Sampling:
    """Return how a loaded pipeline is sampled with."""
    return next(sampling for sampling in SAMPLING.values() if isinstance(pipeline, sampling.pipeline))


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


def load_pipeline(parameters: InferenceParameters, base: WeightsSource, controlnet_folder: Path) -> Any:
    """Load the base model, put the ControlNet beside it and make both ready.

    Which of diffusers' pipelines it is follows from the base model. The sampler is built from the base
    model's own noise schedule, so that what it predicts (noise, v or flow), the spacing of its timesteps, its
    shift and a zero terminal SNR are kept.

    Args:
        parameters: Sampler, dtype, device, attention, offload and compilation.
        base: Where the base model is.
        controlnet_folder: A ControlNet as ``save_pretrained`` writes it.

    Returns:
        One of the pipelines of :data:`SAMPLING`.

    Raises:
        ConfigurationError: The ControlNet was made for another base model, or the base model or the machine
            lacks what the parameters ask for.
    """
    device = resolve_device(parameters.device)
    dtype = resolve_dtype(parameters.dtype, device)
    if parameters.offload != "none" and device.type == "cpu":
        raise ConfigurationError(
            f"inference.offload is '{parameters.offload}', but there is no GPU to move models off."
            " Set it to none."
        )
    sampling = SAMPLING[family_of(base.location, "inference.base_model").name]
    check_controlnet_fits(str(controlnet_folder), "The ControlNet", base.location, "inference.base_model")
    _check_choices(parameters, sampling)
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()  # the run has a bar of its own
        library.set_verbosity_error()  # what matters of what they say is said by this project, once
    how = {"revision": base.revision, "variant": parameters.variant, "dtype": dtype, "use_safetensors": True}
    pipeline = sampling.pipeline.from_pretrained(  # type: ignore[attr-defined]
        base.location,
        controlnet=sampling.controlnet.from_pretrained(  # type: ignore[attr-defined]
            controlnet_folder, dtype=dtype, use_safetensors=True
        ),
        **sampling.own_parts(base.location, how),
        **how,
    )
    _check_match(pipeline, sampling, parameters.base_model)
    pipeline.scheduler = sampling.schedulers[parameters.scheduler](pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    _place(pipeline, sampling, parameters, device)
    return pipeline


def _check_choices(parameters: InferenceParameters, sampling: Sampling) -> None:
    """Refuse what models of this family do not have."""
    if parameters.scheduler not in sampling.schedulers:
        raise ConfigurationError(
            f"inference.scheduler '{parameters.scheduler}' does not sample inference.base_model"
            f" '{parameters.base_model}'. Choose one of {', '.join(sampling.schedulers)}."
        )
    if parameters.attention == "slicing" and not sampling.can_slice:
        raise ConfigurationError(
            f"inference.attention 'slicing' is not for inference.base_model '{parameters.base_model}', whose"
            f" {sampling.denoiser} has fused attention only. Set it to sdpa."
        )


def _check_match(pipeline: Any, sampling: Sampling, base_model: str) -> None:
    denoiser, controlnet = sampling.denoiser_of(pipeline).config, pipeline.controlnet.config
    for name in sampling.must_agree:
        if _plain(denoiser[name]) != _plain(controlnet[name]):
            raise ConfigurationError(
                f"The ControlNet was trained for another base model than inference.base_model '{base_model}':"
                f" its {name} is {controlnet[name]}, the base model's {denoiser[name]}. Set the base model it"
                " was trained on."
            )


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple | list) else value


def _place(pipeline: Any, sampling: Sampling, parameters: InferenceParameters, device: torch.device) -> None:
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
        setattr(pipeline, sampling.denoiser, torch.compile(sampling.denoiser_of(pipeline)))
        pipeline.controlnet = torch.compile(pipeline.controlnet)
