"""The base model's UNet, text encoders and ControlNet, trained together.

Shapes: N skins, B batch, C latent channels, h w latent cells, V captions a skin, L tokens.

Why together: a UNet that has learned beside a control knows how to use one, and a ControlNet that a user
trains later on the frozen UNet learns in minutes. The control is dropped for some samples, so that the UNet
also draws alone.

First on crops, whose place in the picture SDXL's crop coordinates tell, then on whole pictures: a crop
teaches strokes, borders and surfaces for a quarter of the price, and whole pictures add what is global.

The loss is the v-prediction error, at first weighted by 1 - alpha_bar: that is the error of the estimated
picture x0, which puts the effort where the structure of a keyboard is decided. The plain v-loss of the rest
cleans the surfaces, since it alone teaches to remove the last, small noise.
"""

import json
import logging
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from skin_pipeline.embedded.analytic_encoder import LinearEncoder, linearise
from skin_pipeline.embedded.architecture import (
    build_controlnet,
    build_scheduler,
    build_text_encoders,
    build_tokenizer,
    build_unet,
)
from skin_pipeline.embedded.autoencoder import load_pictures
from skin_pipeline.embedded.parameters import DenoiserParameters
from skin_pipeline.embedded.snapshots import Stateful, load_snapshot, save_snapshot
from skin_pipeline.embedded.text_pretraining import coarse_latents, pretrain_text_encoders
from skin_pipeline.skins.drawn import vocabulary

logger = logging.getLogger(__name__)

MEAN_X0_WEIGHT = 0.63
"""Mean of 1 - alpha_bar over the schedule; keeps the weighted loss at the plain loss's size."""
ORIGINAL_SIZES_PX = (128, 2048)
"""Range of the original sizes told to the model, so that it works for whatever a user's pictures have."""


class Denoiser(nn.Module):
    """The trained parts: UNet, ControlNet, two text encoders."""

    def __init__(self, parameters: DenoiserParameters, latent_channels: int, cells: int, tokens: int) -> None:
        """Build freshly initialised parts for pictures of ``cells`` x ``cells`` latent cells."""
        super().__init__()
        self.unet: UNet2DConditionModel = build_unet(
            parameters.block_out_channels, latent_channels, sum(parameters.text_hidden_sizes), cells
        )
        self.controlnet: ControlNetModel = build_controlnet(self.unet)
        encoders = build_text_encoders(tokens, parameters.text_hidden_sizes)
        self.text_encoder: CLIPTextModel = encoders[0]
        self.text_encoder_2: CLIPTextModelWithProjection = encoders[1]

    def forward(
        self, noisy_latents: Tensor, timesteps: Tensor, tokens: Tensor, control: Tensor, time_ids: Tensor
    ) -> Tensor:
        """Predict v.

        Args:
            noisy_latents: (B, C, h, w).
            timesteps: (B,).
            tokens: (B, L), SDXL's use: both encoders' penultimate layers and the second one's projection.
            control: (B, 1, 8h, 8w) edges in [0, 1]; a row of -1 means no control for that sample.
            time_ids: (B, 6).

        Returns:
            (B, C, h, w).
        """
        first = self.text_encoder(tokens, output_hidden_states=True)
        second = self.text_encoder_2(tokens, output_hidden_states=True)
        prompt_embeds = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        conditions = {"text_embeds": second[0], "time_ids": time_ids}
        has_control = (control.amin(dim=(1, 2, 3)) >= 0).to(noisy_latents.dtype)[:, None, None, None]
        down, mid = self.controlnet(
            noisy_latents,
            timesteps,
            prompt_embeds,
            controlnet_cond=control.clamp(min=0)
            .expand(-1, 3, -1, -1)
            .contiguous(memory_format=torch.channels_last),
            added_cond_kwargs=conditions,
            return_dict=False,
        )
        prediction = self.unet(
            noisy_latents,
            timesteps,
            prompt_embeds,
            down_block_additional_residuals=[residual * has_control for residual in down],
            mid_block_additional_residual=mid * has_control,
            added_cond_kwargs=conditions,
        ).sample
        return torch.as_tensor(prediction)


@dataclass(frozen=True)
class TrainingSet:
    """The drawings, read from disk as a step needs them; shapes as atop the module, S the resolution."""

    pictures: np.ndarray
    """(N, S, S, 3) uint8."""
    edges: np.ndarray
    """(N, S, S/8) uint8, packed bits."""
    weights: Tensor
    """(N, 1, h, w), mean 1."""
    tokens: Tensor
    """(N, V, L)."""
    empty_tokens: Tensor
    """(L,)."""
    encode: LinearEncoder
    scaling_factor: float


def load_training_set(
    drawings: Path, encoder: Path, tokenizer: CLIPTokenizer, parameters: DenoiserParameters
) -> TrainingSet:
    """Open the drawings and tokenize all captions."""
    autoencoder = AutoencoderKL.from_pretrained(encoder)
    cells = torch.from_numpy(np.load(drawings / "legend_cells.npy"))
    weights = 1 + parameters.legend_weight * (cells > 8).float()[:, None]
    captions = json.loads((drawings / "captions.json").read_text(encoding="utf-8"))
    flat = tokenize(tokenizer, [caption for variants in captions for caption in variants])
    return TrainingSet(
        pictures=np.load(drawings / "pictures.npy", mmap_mode="r"),
        edges=np.load(drawings / "edges.npy", mmap_mode="r"),
        weights=weights / weights.mean(),
        tokens=flat.view(len(captions), -1, flat.shape[-1]),
        empty_tokens=tokenize(tokenizer, [""])[0],
        encode=linearise(autoencoder, load_pictures(drawings, slice(0, 8))),
        scaling_factor=autoencoder.config.scaling_factor,
    )


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Return (len(captions), L) token ids, padded and truncated to the tokenizer's length."""
    encoded = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    return torch.as_tensor(encoded.input_ids)


def make_tokenizer(drawings: Path, parameters: DenoiserParameters) -> CLIPTokenizer:
    """Train the tokenizer on the drawings' captions and the drawing vocabulary."""
    captions = json.loads((drawings / "captions.json").read_text(encoding="utf-8"))
    corpus = [caption for variants in captions for caption in variants]
    return build_tokenizer([*corpus, *vocabulary()], parameters.vocabulary_size)


def train_denoiser(
    drawings: Path, encoder: Path, parameters: DenoiserParameters, work: Path, folder: Path
) -> None:
    """Train and save the moving average of all parts into ``folder``; resumes from a snapshot in ``work``."""
    torch.set_num_threads(parameters.num_threads)
    torch.manual_seed(parameters.seed)

    # -- data ---------------------------------------------------------------------------------------------
    tokenizer = make_tokenizer(drawings, parameters)
    data = load_training_set(drawings, encoder, tokenizer, parameters)
    channels, cells = len(data.encode.bias), data.pictures.shape[1] // 8
    scheduler = build_scheduler()
    alphas_cumprod = scheduler.alphas_cumprod

    # -- model --------------------------------------------------------------------------------------------
    model = Denoiser(parameters, channels, cells, len(tokenizer))
    optimizer = torch.optim.AdamW(
        model.parameters(), parameters.learning_rate, betas=(0.9, 0.99), weight_decay=0.01
    )
    average = [parameter.detach().clone() for parameter in model.parameters()]
    parts: dict[str, Stateful] = {"model": model, "optimizer": optimizer}
    step = load_snapshot(work / "denoiser.pt", parts, average)
    if step == 0 and parameters.text_pretraining_steps:
        coarse = coarse_latents(data.pictures, data.encode, data.scaling_factor)
        pretrain_text_encoders(
            model.text_encoder,
            model.text_encoder_2,
            data.tokens,
            coarse,
            parameters.text_pretraining_steps,
            parameters.seed,
        )
        average = [parameter.detach().clone() for parameter in model.parameters()]
    recent: deque[float] = deque(maxlen=100)
    started, start_step = time.monotonic(), step

    # -- loop ---------------------------------------------------------------------------------------------
    while step < parameters.num_steps:
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, parameters)
        batch = draw_batch(data, step, parameters)
        velocity = scheduler.get_velocity(batch.latents, batch.noise, batch.timesteps)
        noisy_latents = scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
        with torch.autocast("cpu", torch.bfloat16):
            prediction = model(noisy_latents, batch.timesteps, batch.tokens, batch.control, batch.time_ids)
        error = F.mse_loss(prediction.float(), velocity, reduction="none")
        loss = error * batch.weights
        if step < parameters.x0_loss_steps:
            loss = loss * ((1 - alphas_cumprod[batch.timesteps]) / MEAN_X0_WEIGHT)[:, None, None, None]
        optimizer.zero_grad()
        loss.mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            decay = min(parameters.ema_decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(average, list(model.parameters()), 1 - decay)

        # -- report and save ------------------------------------------------------------------------------
        recent.append(error.detach().mean().item())
        if step % 50 == 0:
            rate = (step - start_step) / (time.monotonic() - started)
            logger.info(
                "denoiser step %d of %d: v-loss %.4f, %.2f steps/s",
                step,
                parameters.num_steps,
                np.mean(recent),
                rate,
            )
        if step % parameters.snapshot_steps == 0 or step == parameters.num_steps:
            save_snapshot(work / "denoiser.pt", step, parts, average)
    save_average(model, average, tokenizer, folder)


@dataclass(frozen=True)
class Batch:
    """One step's inputs; shapes as atop the module."""

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    tokens: Tensor
    control: Tensor
    time_ids: Tensor
    weights: Tensor


def draw_batch(data: TrainingSet, step: int, parameters: DenoiserParameters) -> Batch:
    """Choose samples, crops, noise and timesteps from (seed, step) alone; timesteps are stratified."""
    generator = torch.Generator().manual_seed(parameters.seed * 1_000_003 + step)
    count, resolution = data.pictures.shape[:2]
    on_crops = step < parameters.crop_steps
    size = parameters.crop_batch_size if on_crops else parameters.whole_batch_size
    side = parameters.crop_px if on_crops else resolution

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    rows = torch.randint(0, count, (size,), generator=generator)
    corners = 8 * torch.randint(0, (resolution - side) // 8 + 1, (size, 2), generator=generator)
    windows = [
        (int(row), slice(int(y), int(y) + side), slice(int(x), int(x) + side))
        for row, (y, x) in zip(rows, corners, strict=True)
    ]
    cells = [(row, slice(None), _cells(y), _cells(x)) for row, y, x in windows]
    pictures = torch.from_numpy(np.stack([data.pictures[window] for window in windows]))
    latents = data.scaling_factor * data.encode(pictures.permute(0, 3, 1, 2).float() / 127.5 - 1)
    edges = np.stack([np.unpackbits(data.edges[row, y, _cells(x)], axis=-1) for row, y, x in windows])
    control = torch.from_numpy(edges).float()[:, None]
    control[uniform(size) < parameters.control_dropout] = -1
    variants = torch.randint(0, data.tokens.shape[1], (size,), generator=generator)
    tokens = data.tokens[rows, variants].clone()
    tokens[uniform(size) < parameters.caption_dropout] = data.empty_tokens
    low, high = ORIGINAL_SIZES_PX
    original = torch.where(
        uniform(size, 1) < 0.5, torch.tensor(float(resolution)), low + (high - low) * uniform(size, 2)
    )
    target = torch.full((size, 2), float(side))
    shift = parameters.timestep_shift if step < parameters.num_steps - parameters.uniform_steps else 1.0
    strata = (torch.arange(size) + uniform(size)) / size
    shifted = shift * strata / (1 + (shift - 1) * strata)
    return Batch(
        latents=latents,
        noise=torch.randn(latents.shape, generator=generator),
        timesteps=(shifted * 1000).long().clamp(0, 999),
        tokens=tokens,
        control=control,
        time_ids=torch.cat([original, corners.float(), target], dim=1),
        weights=torch.stack([data.weights[cell] for cell in cells]),
    )


def _cells(pixels: slice) -> slice:
    """A slice of pixels, aligned to cells of 8, as a slice of cells."""
    return slice(pixels.start // 8, pixels.stop // 8)


def _learning_rate(step: int, parameters: DenoiserParameters) -> float:
    """Warm up, hold, and fall linearly to 2 % at the end."""
    warmup = min(1.0, (step + 1) / parameters.warmup_steps)
    left = (parameters.num_steps - step) / parameters.decay_steps
    return parameters.learning_rate * warmup * min(1.0, max(0.02, left))


def save_average(model: Denoiser, average: list[Tensor], tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Save the averaged weights of every part, and the tokenizer, each in its own folder."""
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), average, strict=True):
            parameter.copy_(value)
    for name in ("unet", "controlnet", "text_encoder", "text_encoder_2"):
        getattr(model, name).save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / "tokenizer")
