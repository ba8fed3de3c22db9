"""The SD3 family: StableDiffusion3ControlNetPipeline's parts, frozen, and an SD3ControlNetModel to train.

SD3 (Esser et al. 2024) learns the velocity of straight paths: noisy = (1 - sigma) latents + sigma noise,
target = noise - latents. Its ControlNet is a copy of the transformer's first blocks, and sees the
conditioning image as the VAE's latents.

Shapes: B batch, C latent channels, H W pixels, h w latent cells, L tokens, D and P embedding widths.
"""

import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    SD3ControlNetModel,
    SD3Transformer2DModel,
    StableDiffusion3ControlNetPipeline,
    StableDiffusion3Pipeline,
)
from torch import Tensor, nn

from skin_pipeline.base_models import absent_parts, resolve_base_model, resolve_controlnet
from skin_pipeline.errors import ConfigurationError
from skin_pipeline.mean_autoencoder import MeanAutoencoderKL
from skin_pipeline.training.backend import Batch, EncodedImages, TextEmbeddings
from skin_pipeline.training.base_files import digest, local_folder, variant_of
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.control_lora import as_plain_controlnet, train_low_rank_updates

NEW_LAYERS = ("controlnet_blocks.", "pos_embed_input.")
"""Names of the layers that the transformer does not have begin so: the outputs and the control's entrance."""
_MUST_AGREE = (
    "attention_head_dim",
    "caption_projection_dim",
    "in_channels",
    "joint_attention_dim",
    "num_attention_heads",
    "patch_size",
    "pooled_projection_dim",
)
_TOKENS = (77, 256)
"""Of CLIP's part of a prompt and of T5's, which is zeros where there is no T5."""


class SD3Model:
    """What training steps need of SD3: the transformer and the VAE, frozen, the ControlNet and the schedule.

    A timestep k of the schedule has the noise share sigma_k, the base's own shifted schedule in ascending
    order; the networks are told 1000 sigma_k.
    """

    prediction_type = "flow"

    def __init__(
        self,
        parameters: TrainParameters,
        transformer: SD3Transformer2DModel,
        controlnet: SD3ControlNetModel,
        vae: MeanAutoencoderKL,
        scheduler: FlowMatchEulerDiscreteScheduler,
    ) -> None:
        """Put the parts together: freeze, choose what is trained and what is recomputed.

        Args:
            parameters: Kind of ControlNet, fast start, gradient checkpointing.
            transformer: In fp32.
            controlnet: In fp32.
            vae: In fp32, in which it stays.
            scheduler: Of the base model.
        """
        self._device = torch.device("cpu")
        self._dtype = torch.float32
        self.scheduler = scheduler
        self.num_train_timesteps: int = scheduler.config.num_train_timesteps
        self._sigmas: Tensor = scheduler.sigmas.flip(0)
        self.transformer = transformer.requires_grad_(False).eval()
        self.vae = vae.requires_grad_(False).eval()
        self.controlnet = controlnet.train()
        self._is_fast_start = parameters.is_fast_start
        self._fast_start_lr_factor = parameters.fast_start_lr_factor
        self._is_light = parameters.controlnet_kind == "lora"
        if self._is_light:
            torch.manual_seed(parameters.seed)
            shared = self.transformer if parameters.controlnet_init is None else None
            train_low_rank_updates(self.controlnet, parameters.controlnet_lora_rank, shared, NEW_LAYERS)
        _freeze_what_has_no_effect(self.controlnet)
        if parameters.gradient_checkpointing:
            self.controlnet.enable_gradient_checkpointing()
            self.transformer.enable_gradient_checkpointing()

    @property
    def frozen_parts(self) -> Mapping[str, nn.Module]:
        """The transformer, and the VAE, which encodes each conditioning image anew."""
        return {"transformer": self.transformer, "vae": self.vae}

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the model to a device, and what is frozen of it, but for the VAE, to a number format."""
        self._device, self._dtype = device, dtype
        nn.Module.to(self.transformer, device=device, dtype=dtype)  # diffusers' own warns of an empty list
        self.vae.to(device=device)
        self.controlnet.to(device=device)
        for parameter in self.controlnet.parameters():
            if self._is_light and not parameter.requires_grad:
                parameter.data = parameter.data.to(dtype)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return what is trained of the ControlNet; with the fast start, its new layers in a faster group."""
        trained = {name: p for name, p in self.controlnet.named_parameters() if p.requires_grad}
        new = [p for name, p in trained.items() if name.startswith(NEW_LAYERS)]
        copied = [p for name, p in trained.items() if not name.startswith(NEW_LAYERS)]
        if not self._is_fast_start:
            return [{"params": [*copied, *new], "lr_factor": 1.0}]
        return [
            {"params": copied, "lr_factor": 1.0},
            {"params": new, "lr_factor": self._fast_start_lr_factor, "weight_decay": 0.0},
        ]

    # --- one training step -------------------------------------------------------------------------------

    def add_noise(self, batch: Batch) -> Tensor:
        """Return the noisy latents (1 - sigma) latents + sigma noise."""
        sigmas = self._sigmas_at(batch.timesteps)
        return (1.0 - sigmas) * batch.latents + sigmas * batch.noise

    def target(self, batch: Batch) -> Tensor:
        """Return the velocity of the straight path from the latents to the noise."""
        return batch.noise - batch.latents

    def signal_to_noise(self, timesteps: Tensor) -> Tensor:
        """Return (1 - sigma)^2 / sigma^2 at timesteps."""
        sigmas = self._sigmas.to(timesteps.device)[timesteps]
        return ((1 - sigmas) / sigmas).square()

    def predict_clean_latents(self, model_pred: Tensor, noisy_latents: Tensor, timesteps: Tensor) -> Tensor:
        """Return noisy - sigma velocity."""
        return noisy_latents - self._sigmas_at(timesteps) * model_pred

    def _sigmas_at(self, timesteps: Tensor) -> Tensor:
        """Return the noise shares (B, 1, 1, 1) at timesteps (B,)."""
        return self._sigmas.to(timesteps.device)[timesteps].view(-1, 1, 1, 1)

    def _times(self, batch: Batch) -> Tensor:
        """Return what the networks are told of the noise, (B,), in fp32 as their embedding expects."""
        return self._sigmas.to(batch.timesteps.device)[batch.timesteps] * self.num_train_timesteps

    def control_forward(self, controlnet: nn.Module, noisy_latents: Tensor, batch: Batch) -> list[Tensor]:
        """Return the residuals for the transformer's blocks.

        A ControlNet's own configuration says how it was made to see its inputs, and inference goes by it:
        with ``force_zeros_for_pooled_projection`` it is told no pooled prompt, and the VAE's shift is left
        out of the control's latents.
        """
        is_plain = self.controlnet.config.force_zeros_for_pooled_projection
        pooled = batch.pooled_prompt_embeds
        residuals: list[Tensor] = controlnet(
            hidden_states=noisy_latents,
            timestep=self._times(batch),
            encoder_hidden_states=batch.prompt_embeds,
            pooled_projections=torch.zeros_like(pooled) if is_plain else pooled,
            controlnet_cond=self._control_latents(batch.conditioning_pixel_values, not is_plain),
            return_dict=False,
        )[0]
        return residuals

    @torch.no_grad()
    def _control_latents(self, conditioning_pixel_values: Tensor, is_shifted: bool) -> Tensor:
        """Encode conditioning images (B, 3, H, W) in [0, 1] as inference does; (B, C, h, w)."""
        mean: Tensor = self.vae.encode(conditioning_pixel_values * 2 - 1).latent_dist.mode()
        shift = self.vae.config.shift_factor if is_shifted else 0.0
        latents: Tensor = (mean - shift) * self.vae.config.scaling_factor
        return latents

    def denoise_forward(self, noisy_latents: Tensor, batch: Batch, control: list[Tensor] | None) -> Tensor:
        """Return the transformer's prediction in fp32; without residuals when ``control`` is None."""
        residuals = None if control is None else [residual.to(self._dtype) for residual in control]
        prediction: Tensor = self.transformer(
            hidden_states=noisy_latents.to(self._dtype),
            timestep=self._times(batch),
            encoder_hidden_states=batch.prompt_embeds.to(self._dtype),
            pooled_projections=batch.pooled_prompt_embeds.to(self._dtype),
            block_controlnet_hidden_states=residuals,
            return_dict=False,
        )[0]
        return prediction.float()

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Return the pictures (B, 3, H, W), about [-1, 1], of scaled latents; gradients go through."""
        config = self.vae.config
        with torch.autocast(latents.device.type, enabled=False):
            unscaled = latents.float() / config.scaling_factor + config.shift_factor
            pictures: Tensor = self.vae.decode(unscaled).sample
        return pictures

    def save_weights(self, controlnet: SD3ControlNetModel, folder: Path) -> None:
        """Write a ControlNet with ``save_pretrained``; low-rank updates are added to what they update."""
        as_plain_controlnet(controlnet).save_pretrained(folder)

    # --- a step's form, for its estimate -----------------------------------------------------------------

    def empty_batch(self, count: int, side_px: int) -> Batch:
        """Return a batch of that many pictures, with all its shapes and any contents."""
        config = self.transformer.config
        side = side_px // (2 ** (len(self.vae.config.block_out_channels) - 1))
        return Batch(
            sample_ids=("",) * count,
            latents=torch.empty(count, config.in_channels, side, side),
            noise=torch.empty(count, config.in_channels, side, side),
            timesteps=torch.empty(count, dtype=torch.int64),
            conditioning_pixel_values=torch.empty(count, 3, side_px, side_px),
            prompt_embeds=torch.empty(count, sum(_TOKENS), config.joint_attention_dim),
            pooled_prompt_embeds=torch.empty(count, config.pooled_projection_dim),
            sizes=torch.empty(count, 6, dtype=torch.int64),
        )

    def forget_schedule(self) -> None:
        """Replace the noise schedule by a tensor without contents."""
        self._sigmas = torch.empty(self.num_train_timesteps)


class SD3Family(SD3Model):
    """An SD3 base model and its ControlNet; see :class:`~skin_pipeline.training.backend.ModelFamily`."""

    def __init__(self, parameters: TrainParameters) -> None:
        """Load the transformer, the VAE and the schedule, and make or load the ControlNet.

        A new ControlNet's initial weights follow from ``parameters.seed``.

        Args:
            parameters: Name the base model and the ControlNet, and how the latter starts.

        Raises:
            MissingWeightsError: The base model's or the ControlNet's files are not there.
            ConfigurationError: The ControlNet or the pictures' size does not fit the base model.
        """
        self._folder = local_folder(parameters)
        self._variant = variant_of(parameters)
        self._text_pipeline: StableDiffusion3Pipeline | None = None
        self.base_digest = digest(self._folder)
        self.image_encoder_digest = digest(self._folder, "vae")
        texts = [f"{kind}{n}" for kind in ("text_encoder", "tokenizer") for n in ("", "_2", "_3")]
        self.text_encoder_digest = digest(self._folder, *texts, "model_index.json")
        scheduler = _load_scheduler(str(self._folder), parameters)
        transformer = SD3Transformer2DModel.from_pretrained(
            self._folder, subfolder="transformer", dtype=torch.float32, **self._variant
        )
        vae = MeanAutoencoderKL.from_pretrained(
            self._folder, subfolder="vae", dtype=torch.float32, **self._variant
        )
        _check_choices(parameters, vae, transformer)
        super().__init__(parameters, transformer, _load_controlnet(parameters, transformer), vae, scheduler)

    # --- encoding, once for each picture and caption -----------------------------------------------------

    @torch.no_grad()
    def encode_images(self, pixel_values: Tensor) -> EncodedImages:
        """Encode pictures (B, 3, H, W) in [-1, 1]."""
        posterior, config = self.vae.encode_posterior(pixel_values.to(self._device)), self.vae.config
        mean = (posterior.mean - config.shift_factor) * config.scaling_factor
        return EncodedImages(mean=mean, std=posterior.std * config.scaling_factor)

    @torch.no_grad()
    def encode_text(self, captions: list[str]) -> TextEmbeddings:
        """Encode captions with the pipeline's own code; each of the text encoders sees all of them."""
        embeds, _, pooled, _ = self._text_encoders().encode_prompt(
            captions, prompt_2=None, prompt_3=None, do_classifier_free_guidance=False
        )
        return TextEmbeddings(embeds.float(), pooled.float())

    def encode_no_text(self) -> TextEmbeddings:
        """Return what the pipeline uses without a negative prompt: the empty string's embedding."""
        return self.encode_text([""])

    def _text_encoders(self) -> StableDiffusion3Pipeline:
        """Return a pipeline with nothing but text encoders; it asks the transformer for widths.

        CLIP is in fp32. T5 has five billion weights, which were trained in bf16: on GPUs it is in bf16, as
        it is for inference there.
        """
        if self._text_pipeline is None:
            absent = [name for name in absent_parts(str(self._folder), "train.model_base") if "_3" in name]
            t5_dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
            pipeline = StableDiffusion3Pipeline.from_pretrained(
                self._folder,
                transformer=self.transformer,
                vae=None,
                dtype={"text_encoder_3": t5_dtype, "default": torch.float32},
                **dict.fromkeys(absent),
                **self._variant,
            )
            self._text_pipeline = pipeline.to(self._device)
        return self._text_pipeline

    def release_encoders(self) -> None:
        """Free the text encoders; the VAE is small and goes on encoding conditioning images."""
        self._text_pipeline = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    # --- pictures ----------------------------------------------------------------------------------------

    def make_sampler(self) -> FlowMatchEulerDiscreteScheduler:
        """Return the base model's own sampler. Its timesteps are times up to 1000, not places."""
        return FlowMatchEulerDiscreteScheduler.from_config(self.scheduler.config)

    def build_pipeline(self, controlnet: nn.Module) -> StableDiffusion3ControlNetPipeline:
        """Return the inference pipeline around the frozen parts, with the base's sampler and no encoders."""
        pipeline = StableDiffusion3ControlNetPipeline(
            vae=self.vae,
            text_encoder=None,
            text_encoder_2=None,
            text_encoder_3=None,
            tokenizer=None,
            tokenizer_2=None,
            tokenizer_3=None,
            transformer=self.transformer,
            controlnet=controlnet,
            scheduler=self.make_sampler(),
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @torch.no_grad()
    def draw_pictures(
        self,
        pipeline: StableDiffusion3ControlNetPipeline,
        batch: Batch,
        no_text: TextEmbeddings,
        seeds: list[int],
        steps: int,
        guidance: float,
    ) -> list[np.ndarray]:
        """Sample a picture (H, W, 3) uint8 RGB for each item of a batch, each from its own seed."""
        count, (height, width) = len(seeds), batch.conditioning_pixel_values.shape[-2:]
        latents: Tensor = pipeline(
            control_image=batch.conditioning_pixel_values * 2 - 1,  # tensors are taken as they are
            prompt_embeds=self._placed(batch.prompt_embeds),
            pooled_prompt_embeds=self._placed(batch.pooled_prompt_embeds),
            negative_prompt_embeds=self._placed(no_text.prompt_embeds).expand(count, -1, -1),
            negative_pooled_prompt_embeds=self._placed(no_text.pooled_prompt_embeds).expand(count, -1),
            height=height,
            width=width,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="latent",
        ).images
        decoded = self.decode_latents(latents)
        pictures: np.ndarray = pipeline.image_processor.postprocess(decoded, output_type="np")
        return [(picture * 255).round().astype(np.uint8) for picture in pictures]

    def _placed(self, tensor: Tensor) -> Tensor:
        """Return a tensor where the frozen parts are, in their number format."""
        return tensor.to(self._device, self._dtype)


def load_family(parameters: TrainParameters) -> SD3Family:
    """Load an SD3 base model and its ControlNet."""
    return SD3Family(parameters)


def build_empty(parameters: TrainParameters) -> SD3Model:
    """Build the model from its configuration files alone, on the meta device."""
    location = resolve_base_model(parameters.model_base, "train.model_base")
    scheduler = _load_scheduler(location, parameters)
    configs = {
        model: model.load_config(location, subfolder=part)
        for model, part in ((SD3Transformer2DModel, "transformer"), (MeanAutoencoderKL, "vae"))
    }
    with torch.device("meta"):
        transformer, vae = (model.from_config(config) for model, config in configs.items())
        _check_choices(parameters, vae, transformer)
        if parameters.controlnet_init is not None:
            name = resolve_controlnet(parameters.controlnet_init, "train.controlnet_init")
            controlnet = SD3ControlNetModel.from_config(SD3ControlNetModel.load_config(name))
        else:
            controlnet = _new_controlnet(parameters, transformer, has_weights=False)
        return SD3Model(parameters, transformer, controlnet, vae, scheduler)


def _load_scheduler(location: str, parameters: TrainParameters) -> FlowMatchEulerDiscreteScheduler:
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(location, subfolder="scheduler")
    if scheduler.config.use_dynamic_shifting:
        raise ConfigurationError(
            f"train.model_base '{parameters.model_base}' shifts its noise schedule with each picture's size"
            " (use_dynamic_shifting), which cannot be trained here. Expected a schedule with a fixed shift."
        )
    return scheduler


def _check_choices(
    parameters: TrainParameters, vae: MeanAutoencoderKL, transformer: SD3Transformer2DModel
) -> None:
    """Refuse squares of parts of patches or beyond the base's positions."""
    cell = 2 ** (len(vae.config.block_out_channels) - 1) * transformer.config.patch_size
    largest = cell * transformer.config.pos_embed_max_size
    if parameters.resolution_px % cell or parameters.resolution_px > largest:
        raise ConfigurationError(
            f"train.resolution_px must be a multiple of {cell} up to {largest} for train.model_base"
            f" '{parameters.model_base}' (the VAE's cells times the transformer's patches), got"
            f" {parameters.resolution_px}."
        )


def _load_controlnet(parameters: TrainParameters, transformer: SD3Transformer2DModel) -> SD3ControlNetModel:
    """Return the given ControlNet, or a new one copied from the transformer's first blocks, in fp32."""
    if parameters.controlnet_init is None:
        torch.manual_seed(parameters.seed)
        return _new_controlnet(parameters, transformer, has_weights=True)
    name = resolve_controlnet(parameters.controlnet_init, "train.controlnet_init")
    controlnet = SD3ControlNetModel.from_pretrained(name).float()
    for key in _MUST_AGREE:
        expected, found = transformer.config[key], controlnet.config[key]
        if expected != found:
            raise ConfigurationError(
                f"train.controlnet_init '{parameters.controlnet_init}' does not fit train.model_base"
                f" '{parameters.model_base}': expected {key} {expected}, got {found}."
            )
    if not controlnet.config.use_pos_embed or controlnet.config.extra_conditioning_channels:
        raise ConfigurationError(
            f"train.controlnet_init '{parameters.controlnet_init}' is of a kind that cannot be trained here:"
            " expected one with positions of its own and no extra conditioning channels, got use_pos_embed"
            f" {controlnet.config.use_pos_embed} and extra_conditioning_channels"
            f" {controlnet.config.extra_conditioning_channels}."
        )
    return controlnet


def _new_controlnet(
    parameters: TrainParameters, transformer: SD3Transformer2DModel, has_weights: bool
) -> SD3ControlNetModel:
    """Return a ControlNet like the transformer's first blocks, with their weights if it has any.

    It is told the pooled prompt and the VAE's shift, as diffusers' example trains; its configuration says so,
    or else the inference pipeline would leave both out.
    """
    config = dict(transformer.config)
    num_layers = parameters.controlnet_num_layers or max(1, config["num_layers"] // 2)
    if num_layers >= config["num_layers"]:
        raise ConfigurationError(
            f"train.controlnet_num_layers must be less than the {config['num_layers']} blocks of"
            f" train.model_base '{parameters.model_base}', whose last one has another form, got {num_layers}."
        )
    controlnet = SD3ControlNetModel.from_transformer(
        transformer,
        num_layers=num_layers,
        num_extra_conditioning_channels=0,
        load_weights_from_transformer=has_weights,
    ).float()
    transformer.register_to_config(**config)  # from_transformer has written its own numbers there
    controlnet.register_to_config(force_zeros_for_pooled_projection=False)
    if parameters.is_fast_start and has_weights:
        open_control_entrance(controlnet)
    return controlnet


@torch.no_grad()
def open_control_entrance(controlnet: SD3ControlNetModel) -> None:
    """Let a new ControlNet see its control from the start, as patches of latents, as it sees the noisy ones.

    A new ControlNet has two zero gates in series, where the control enters and its outputs; neither gets a
    gradient of note until the other has opened. With the first one open learning begins at once, and as the
    outputs are still zero, the first prediction is still the base model's own.
    """
    controlnet.pos_embed_input.proj.weight.copy_(controlnet.pos_embed.proj.weight)


def _freeze_what_has_no_effect(controlnet: SD3ControlNetModel) -> None:
    """Freeze what only the text's stream behind the last block would see: nobody reads that stream.

    It would get no gradient, and processes that share gradients would wait for it.
    """
    last = f"transformer_blocks.{len(controlnet.transformer_blocks) - 1}."
    idle = tuple(
        last + name for name in ("attn.add_q_proj.", "attn.norm_added_q.", "attn.to_add_out.", "ff_context.")
    )
    for name, parameter in controlnet.named_parameters():
        if name.startswith(idle):
            parameter.requires_grad_(False)
