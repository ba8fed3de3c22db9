"""The SDXL family: StableDiffusionXLControlNetPipeline's parts, frozen, and a ControlNetModel to train.

Shapes: B batch, C latent channels, H W pixels, h w latent cells, L tokens, D and P embedding widths.
"""

import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDPMScheduler,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from torch import Tensor, nn

from skin_pipeline.base_models import resolve_base_model, resolve_controlnet
from skin_pipeline.errors import ConfigurationError
from skin_pipeline.training.backend import Batch, EncodedImages, TextEmbeddings
from skin_pipeline.training.base_files import digest, local_folder, variant_of
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.control_lora import as_plain_controlnet, train_low_rank_updates

NEW_LAYERS = ("controlnet_",)
"""Names of the layers that the UNet does not have begin so: the conditioning encoder and the outputs."""
_NUM_TOKENS = 77
_LATENT_CELL_PX = 8


class SDXLModel:
    """What training steps need of SDXL: the UNet, frozen, the ControlNet, and the noise schedule."""

    def __init__(
        self,
        parameters: TrainParameters,
        unet: UNet2DConditionModel,
        controlnet: ControlNetModel,
        scheduler: DDPMScheduler,
    ) -> None:
        """Put the parts together: freeze, choose what is trained and what is recomputed.

        Args:
            parameters: Kind of ControlNet, fast start, gradient checkpointing.
            unet: In fp32.
            controlnet: In fp32.
            scheduler: Of the base model.
        """
        self._device = torch.device("cpu")
        self._dtype = torch.float32
        self._vae: AutoencoderKL | None = None
        self.scheduler = scheduler
        self.prediction_type: str = scheduler.config.prediction_type
        self.num_train_timesteps: int = scheduler.config.num_train_timesteps
        self.unet = unet.requires_grad_(False).eval()
        self._is_fast_start = parameters.is_fast_start
        self._fast_start_lr_factor = parameters.fast_start_lr_factor
        self.controlnet = controlnet.train()
        # Its layers at full resolution have few channels; so stored, a step on processors takes a tenth less.
        self.controlnet.controlnet_cond_embedding.to(memory_format=torch.channels_last)
        if parameters.controlnet_kind == "lora":
            torch.manual_seed(parameters.seed)
            shared = self.unet if parameters.controlnet_init is None else None
            train_low_rank_updates(self.controlnet, parameters.controlnet_lora_rank, shared, NEW_LAYERS)
        if parameters.gradient_checkpointing:
            self._recompute_in_backward_pass()

    def _recompute_in_backward_pass(self) -> None:
        """Let the ControlNet and the UNet's decoder recompute their activations.

        The UNet's encoder and middle see nothing that needs a gradient, as the residuals are added behind
        them. Autograd keeps none of their activations, so there is nothing to save by recomputing them.
        """
        self.controlnet.enable_gradient_checkpointing()
        self.unet.enable_gradient_checkpointing()
        for part in (self.unet.down_blocks, self.unet.mid_block):
            for module in part.modules():
                if hasattr(module, "gradient_checkpointing"):
                    module.gradient_checkpointing = False

    @property
    def frozen_parts(self) -> Mapping[str, nn.Module]:
        """The UNet, and the VAE while it is held."""
        return {"unet": self.unet, **({} if self._vae is None else {"vae": self._vae})}

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the model to a device, and what is frozen of it, but for the VAE, to a number format."""
        self._device, self._dtype = device, dtype
        nn.Module.to(self.unet, device=device, dtype=dtype)  # diffusers' own would warn of an empty list
        if self._vae is not None:
            self._vae.to(device=device)
        self.controlnet.to(device=device)
        for parameter in self.controlnet.parameters():
            if not parameter.requires_grad:
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
        """Return the noisy latents of a batch."""
        noisy: Tensor = self.scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
        return noisy

    def target(self, batch: Batch) -> Tensor:
        """Return the noise, or the velocity sqrt(abar) noise - sqrt(1 - abar) latents, by prediction type."""
        if self.prediction_type == "epsilon":
            return batch.noise
        velocity: Tensor = self.scheduler.get_velocity(batch.latents, batch.noise, batch.timesteps)
        return velocity

    def signal_to_noise(self, timesteps: Tensor) -> Tensor:
        """Return abar / (1 - abar) at timesteps; 0 at a zero-terminal schedule's end."""
        abar: Tensor = self.scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
        return abar / (1 - abar)

    def predict_clean_latents(self, model_pred: Tensor, noisy_latents: Tensor, timesteps: Tensor) -> Tensor:
        """Return the latents under the noise if a prediction is right (Salimans and Ho 2022, appendix D).

        From noise: (noisy - sqrt(1 - abar) noise) / sqrt(abar), not finite where abar is 0. From velocity:
        sqrt(abar) noisy - sqrt(1 - abar) velocity.
        """
        abar: Tensor = self.scheduler.alphas_cumprod.to(timesteps.device)[timesteps].view(-1, 1, 1, 1)
        if self.prediction_type == "epsilon":
            return (noisy_latents - (1 - abar).sqrt() * model_pred) / abar.sqrt()
        return abar.sqrt() * noisy_latents - (1 - abar).sqrt() * model_pred

    def control_forward(
        self, controlnet: nn.Module, noisy_latents: Tensor, batch: Batch
    ) -> tuple[list[Tensor], Tensor]:
        """Return the residuals for the UNet's down blocks and its middle."""
        down, middle = controlnet(
            noisy_latents,
            batch.timesteps,
            encoder_hidden_states=batch.prompt_embeds,
            added_cond_kwargs=_added_conditions(batch),
            controlnet_cond=batch.conditioning_pixel_values,
            return_dict=False,
        )
        return down, middle

    def denoise_forward(
        self, noisy_latents: Tensor, batch: Batch, control: tuple[list[Tensor], Tensor] | None
    ) -> Tensor:
        """Return the UNet's prediction in fp32; without residuals when ``control`` is None."""
        down, middle = control if control is not None else (None, None)
        prediction: Tensor = self.unet(
            noisy_latents.to(self._dtype),
            batch.timesteps,
            encoder_hidden_states=batch.prompt_embeds.to(self._dtype),
            added_cond_kwargs=_added_conditions(batch),
            down_block_additional_residuals=None if down is None else [t.to(self._dtype) for t in down],
            mid_block_additional_residual=None if middle is None else middle.to(self._dtype),
            return_dict=False,
        )[0]
        return prediction.float()

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Return the pictures (B, 3, H, W), about [-1, 1], of scaled latents; gradients go through."""
        vae = self._kept_vae()
        with torch.autocast(latents.device.type, enabled=False):
            pictures: Tensor = vae.decode(latents.float() / vae.config.scaling_factor).sample
        return pictures

    def _kept_vae(self) -> AutoencoderKL:
        assert self._vae is not None, "built without what decodes"
        return self._vae

    def save_weights(self, controlnet: ControlNetModel, folder: Path) -> None:
        """Write a ControlNet with ``save_pretrained``; low-rank updates are added to what they update."""
        as_plain_controlnet(controlnet).save_pretrained(folder)

    # --- a step's form, for its estimate -----------------------------------------------------------------

    def empty_batch(self, count: int, side_px: int) -> Batch:
        """Return a batch of that many pictures, with all its shapes and any contents."""
        config, side = self.unet.config, side_px // _LATENT_CELL_PX
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        return Batch(
            sample_ids=("",) * count,
            latents=torch.empty(count, config.in_channels, side, side),
            noise=torch.empty(count, config.in_channels, side, side),
            timesteps=torch.empty(count, dtype=torch.int64),
            conditioning_pixel_values=torch.empty(count, 3, side_px, side_px),
            prompt_embeds=torch.empty(count, _NUM_TOKENS, config.cross_attention_dim),
            pooled_prompt_embeds=torch.empty(count, pooled),
            sizes=torch.empty(count, 6, dtype=torch.int64),
        )

    def forget_schedule(self) -> None:
        """Replace the noise schedule by a tensor without contents."""
        self.scheduler.alphas_cumprod = torch.empty(self.num_train_timesteps)


class SDXLFamily(SDXLModel):
    """An SDXL base model and its ControlNet; see :class:`~skin_pipeline.training.backend.ModelFamily`."""

    def __init__(self, parameters: TrainParameters) -> None:
        """Load the UNet and the noise schedule, and make or load the ControlNet.

        A new ControlNet's initial weights follow from ``parameters.seed``.

        Args:
            parameters: Name the base model and the ControlNet, and how the latter starts.

        Raises:
            MissingWeightsError: The base model's or the ControlNet's files are not there.
            ConfigurationError: The conditioning encoder or the ControlNet does not fit the base model.
        """
        self._folder = local_folder(parameters)
        self._variant = variant_of(parameters)
        self._text_pipeline: StableDiffusionXLPipeline | None = None
        self.base_digest = digest(self._folder)
        self.image_encoder_digest = digest(self._folder, "vae")
        self.text_encoder_digest = digest(
            self._folder,
            "text_encoder",
            "text_encoder_2",
            "tokenizer",
            "tokenizer_2",
            "model_index.json",
        )
        scheduler = DDPMScheduler.from_pretrained(self._folder, subfolder="scheduler")
        if scheduler.config.prediction_type not in {"epsilon", "v_prediction"}:
            raise ConfigurationError(
                f"train.model_base '{parameters.model_base}' predicts '{scheduler.config.prediction_type}';"
                " expected epsilon or v_prediction."
            )
        unet = UNet2DConditionModel.from_pretrained(
            self._folder, subfolder="unet", dtype=torch.float32, **self._variant
        )
        super().__init__(parameters, unet, _load_controlnet(parameters, unet), scheduler)

    # --- encoding, once for each picture and caption -----------------------------------------------------

    @torch.no_grad()
    def encode_images(self, pixel_values: Tensor) -> EncodedImages:
        """Encode pictures (B, 3, H, W) in [-1, 1]."""
        vae = self._kept_vae()
        posterior = vae.encode(pixel_values.to(self._device)).latent_dist
        scale = vae.config.scaling_factor
        return EncodedImages(mean=posterior.mean * scale, std=posterior.std * scale)

    def _kept_vae(self) -> AutoencoderKL:
        if self._vae is None:
            self._vae = self._load_vae()
        return self._vae

    def _load_vae(self) -> AutoencoderKL:
        """Return the VAE in fp32, in which it neither overflows nor loses detail."""
        vae = AutoencoderKL.from_pretrained(self._folder, subfolder="vae", **self._variant)
        return vae.float().to(self._device).requires_grad_(False).eval()

    @torch.no_grad()
    def encode_text(self, captions: list[str]) -> TextEmbeddings:
        """Encode captions with the pipeline's own code."""
        embeds, _, pooled, _ = self._text_encoders().encode_prompt(
            captions, do_classifier_free_guidance=False
        )
        return TextEmbeddings(embeds.float(), pooled.float())

    @torch.no_grad()
    def encode_no_text(self) -> TextEmbeddings:
        """Return what the pipeline uses without a negative prompt: zeros, or the empty string's embedding."""
        _, embeds, _, pooled = self._text_encoders().encode_prompt([""], do_classifier_free_guidance=True)
        return TextEmbeddings(embeds.float(), pooled.float())

    def _text_encoders(self) -> StableDiffusionXLPipeline:
        if self._text_pipeline is None:
            pipeline = StableDiffusionXLPipeline.from_pretrained(
                self._folder,
                unet=None,
                vae=None,
                dtype=torch.float32,  # as it is, and not as the files happen to be stored
                add_watermarker=False,
                **self._variant,
            )
            self._text_pipeline = pipeline.to(self._device)
        return self._text_pipeline

    def release_encoders(self) -> None:
        """Free the VAE and both text encoders."""
        self._vae = self._text_pipeline = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    # --- pictures ----------------------------------------------------------------------------------------

    def make_sampler(self) -> UniPCMultistepScheduler:
        """Return UniPC with the base model's noise schedule."""
        return UniPCMultistepScheduler.from_config(self.scheduler.config)

    def build_pipeline(self, controlnet: nn.Module) -> StableDiffusionXLControlNetPipeline:
        """Return the inference pipeline around the frozen parts, with UniPC and without text encoders."""
        pipeline = StableDiffusionXLControlNetPipeline(
            vae=self._load_vae(),
            text_encoder=None,
            text_encoder_2=None,
            tokenizer=None,
            tokenizer_2=None,
            unet=self.unet,
            controlnet=controlnet,
            scheduler=self.make_sampler(),
            add_watermarker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @torch.no_grad()
    def draw_pictures(
        self,
        pipeline: StableDiffusionXLControlNetPipeline,
        batch: Batch,
        no_text: TextEmbeddings,
        seeds: list[int],
        steps: int,
        guidance: float,
    ) -> list[np.ndarray]:
        """Sample a picture (H, W, 3) uint8 RGB for each item of a batch, each from its own seed."""
        count, (height, width) = len(seeds), batch.conditioning_pixel_values.shape[-2:]
        negative = no_text.prompt_embeds.to(batch.prompt_embeds)
        negative_pooled = no_text.pooled_prompt_embeds.to(batch.pooled_prompt_embeds)
        latents: Tensor = pipeline(
            image=batch.conditioning_pixel_values,
            prompt_embeds=batch.prompt_embeds,
            pooled_prompt_embeds=batch.pooled_prompt_embeds,
            negative_prompt_embeds=negative.expand(count, -1, -1),
            negative_pooled_prompt_embeds=negative_pooled.expand(count, -1),
            height=height,
            width=width,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="latent",
        ).images
        with torch.autocast(self._device.type, enabled=False):
            decoded = pipeline.vae.decode(latents.float() / pipeline.vae.config.scaling_factor).sample
        pictures: np.ndarray = pipeline.image_processor.postprocess(decoded, output_type="np")
        return [(picture * 255).round().astype(np.uint8) for picture in pictures]


def load_family(parameters: TrainParameters) -> SDXLFamily:
    """Load an SDXL base model and its ControlNet."""
    return SDXLFamily(parameters)


def build_empty(parameters: TrainParameters) -> SDXLModel:
    """Build the model from its configuration files alone, on the meta device."""
    location = resolve_base_model(parameters.model_base, "train.model_base")
    scheduler = DDPMScheduler.from_pretrained(location, subfolder="scheduler")
    unet_config = UNet2DConditionModel.load_config(location, subfolder="unet")
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(unet_config)
        if parameters.controlnet_init is not None:
            name = resolve_controlnet(parameters.controlnet_init, "train.controlnet_init")
            controlnet = ControlNetModel.from_config(ControlNetModel.load_config(name))
        else:
            controlnet = ControlNetModel.from_unet(
                unet,
                conditioning_embedding_out_channels=parameters.conditioning_embedding_out_channels,
                load_weights_from_unet=False,
            )
        model = SDXLModel(parameters, unet, controlnet, scheduler)
        if parameters.text.is_reading:
            vae = AutoencoderKL.from_config(AutoencoderKL.load_config(location, subfolder="vae"))
            model._vae = vae.requires_grad_(False).eval()
        return model


def _added_conditions(batch: Batch) -> dict[str, Tensor]:
    """Return SDXL's added conditions; the time ids are true sizes, in fp32 as their embedding expects."""
    return {"text_embeds": batch.pooled_prompt_embeds, "time_ids": batch.sizes.float()}


def _load_controlnet(parameters: TrainParameters, unet: UNet2DConditionModel) -> ControlNetModel:
    """Return the given ControlNet, or a new one copied from the UNet's encoder, in fp32."""
    if parameters.controlnet_init is not None:
        name = resolve_controlnet(parameters.controlnet_init, "train.controlnet_init")
        controlnet = ControlNetModel.from_pretrained(name).float()
        expected, found = unet.config.block_out_channels, controlnet.config.block_out_channels
        if list(expected) != list(found) or unet.config.in_channels != controlnet.config.in_channels:
            raise ConfigurationError(
                f"train.controlnet_init '{parameters.controlnet_init}' does not fit train.model_base"
                f" '{parameters.model_base}': expected channels {list(expected)} and"
                f" {unet.config.in_channels} latents, got {list(found)} and {controlnet.config.in_channels}."
            )
        return controlnet
    if parameters.controlnet_num_layers is not None:
        raise ConfigurationError(
            f"train.controlnet_num_layers ({parameters.controlnet_num_layers}) is for transformers, but"
            f" train.model_base '{parameters.model_base}' has a UNet, whose whole encoder is copied. Set it"
            " to null."
        )
    torch.manual_seed(parameters.seed)
    channels = parameters.conditioning_embedding_out_channels
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=channels).float()
    if parameters.is_fast_start:
        open_conditioning_encoder(controlnet)
    return controlnet


def open_conditioning_encoder(controlnet: ControlNetModel) -> None:
    """Re-initialise the conditioning encoder so that its output is not zero.

    A new ControlNet has two zero gates in series, this encoder's last convolution and the outputs'. Neither
    gets a gradient of note until the other has opened, which is why ControlNets learn nothing for thousands
    of steps and then "suddenly converge". With one of them open from the start, learning begins at once, and
    as the outputs are still zero, the first prediction is still the base model's own.
    """
    for module in controlnet.controlnet_cond_embedding.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
