"""The base model's autoencoder: closed-form encoder, trained decoder.

Shapes: B crops a batch, C latent channels. The encoder is final after :func:`make_encoder`, so latents can be
cached, and the denoiser trained, while the decoder still learns.
"""

import logging
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from skin_pipeline.embedded.analytic_encoder import fit_encoder, linearise, patch_weights
from skin_pipeline.embedded.architecture import build_autoencoder
from skin_pipeline.embedded.parameters import AutoencoderParameters
from skin_pipeline.embedded.snapshots import load_snapshot, save_snapshot

logger = logging.getLogger(__name__)

FITTED_PICTURES = 400
CROP_CELLS = 8
BATCH_SIZE = 16
WARMUP_STEPS = 30
EMA_DECAY = 0.995
HELD_OUT = 32


def load_pictures(drawings: Path, indices: slice | list[int]) -> Tensor:
    """Load pictures of a drawings folder as (N, 3, S, S) in [-1, 1]."""
    array = np.load(drawings / "pictures.npy", mmap_mode="r")[indices]
    return torch.from_numpy(np.array(array)).permute(0, 3, 1, 2).float() / 127.5 - 1


def make_encoder(drawings: Path, parameters: AutoencoderParameters, folder: Path) -> None:
    """Fit the encoder to the drawings and save an autoencoder whose decoder is still untrained."""
    torch.manual_seed(parameters.seed)
    pictures = load_pictures(drawings, slice(0, FITTED_PICTURES))
    cells = np.load(drawings / "legend_cells.npy", mmap_mode="r")[:FITTED_PICTURES]
    weights = patch_weights(torch.from_numpy(cells.copy()), parameters.legend_weight)
    autoencoder = build_autoencoder(
        parameters.block_out_channels, parameters.latent_channels, pictures.shape[-1]
    )
    fit_encoder(autoencoder, pictures, weights, parameters.whitening)
    latents = linearise(autoencoder, pictures[:8])(pictures)
    autoencoder.register_to_config(scaling_factor=1 / latents.std().item())
    autoencoder.save_pretrained(folder)


def train_decoder(
    drawings: Path, encoder: Path, parameters: AutoencoderParameters, work: Path, folder: Path
) -> dict[str, float]:
    """Train the decoder on crops and save the whole autoencoder.

    Loss: L1 + MSE + half the L1 of the horizontal and vertical differences, which keeps borders and strokes
    sharp. Resumes from a snapshot in ``work``.

    Returns:
        ``psnr_db`` and ``l1`` on :data:`HELD_OUT` drawings, spread evenly, which no step has seen.
    """
    autoencoder = AutoencoderKL.from_pretrained(encoder)
    autoencoder.requires_grad_(False)
    decoder = autoencoder.decoder.requires_grad_(True)
    encode = linearise(autoencoder, load_pictures(drawings, slice(0, 8)))
    pictures = np.load(drawings / "pictures.npy", mmap_mode="r")
    held_out = np.linspace(0, len(pictures) - 1, min(HELD_OUT, len(pictures) // 2)).astype(int)
    train = np.setdiff1d(np.arange(len(pictures)), held_out)
    optimizer = torch.optim.AdamW(
        decoder.parameters(), parameters.decoder_learning_rate, betas=(0.9, 0.98), weight_decay=0
    )
    average = [parameter.detach().clone() for parameter in decoder.parameters()]
    step = load_snapshot(work / "decoder.pt", {"decoder": decoder, "optimizer": optimizer}, average)
    while step < parameters.decoder_steps:
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, parameters)
        generator = torch.Generator().manual_seed(parameters.seed * 1_000_003 + step)
        crops = _crops(pictures, train, generator)
        latents = encode(crops)
        scale = parameters.latent_noise / autoencoder.config.scaling_factor
        noise = scale * torch.rand(BATCH_SIZE, 1, 1, 1, generator=generator)
        latents = latents + noise * torch.randn(latents.shape, generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            decoded = autoencoder.decode(latents).sample
        loss = reconstruction_loss(decoded.float(), crops)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            decay = min(EMA_DECAY, (1 + step) / (10 + step))
            torch._foreach_lerp_(average, list(decoder.parameters()), 1 - decay)
        if step % 250 == 0:
            logger.info("decoder step %d of %d: loss %.4f", step, parameters.decoder_steps, loss.item())
            save_snapshot(work / "decoder.pt", step, {"decoder": decoder, "optimizer": optimizer}, average)
    with torch.no_grad():
        for parameter, value in zip(decoder.parameters(), average, strict=True):
            parameter.copy_(value)
    autoencoder.save_pretrained(folder)
    return evaluate_autoencoder(autoencoder, load_pictures(drawings, held_out.tolist()))


def _learning_rate(step: int, parameters: AutoencoderParameters) -> float:
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / parameters.decoder_steps)
    return parameters.decoder_learning_rate * min(1, (step + 1) / WARMUP_STEPS) * cosine + 1e-6


def _crops(pictures: np.ndarray, train: np.ndarray, generator: torch.Generator) -> Tensor:
    """Cut (B, 3, 64, 64) crops, aligned to latent cells, in [-1, 1]."""
    side, size = pictures.shape[1], 8 * CROP_CELLS
    rows = train[torch.randint(0, len(train), (BATCH_SIZE,), generator=generator)].tolist()
    corners = 8 * torch.randint(0, side // 8 - CROP_CELLS + 1, (BATCH_SIZE, 2), generator=generator)
    crops = [
        pictures[i, y : y + size, x : x + size] for i, (y, x) in zip(rows, corners.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1


def reconstruction_loss(decoded: Tensor, pictures: Tensor) -> Tensor:
    """L1 + MSE + half the L1 of horizontal and vertical differences."""
    across = F.l1_loss(decoded.diff(dim=-1), pictures.diff(dim=-1))
    down = F.l1_loss(decoded.diff(dim=-2), pictures.diff(dim=-2))
    return F.l1_loss(decoded, pictures) + F.mse_loss(decoded, pictures) + 0.5 * (across + down)


@torch.no_grad()
def evaluate_autoencoder(autoencoder: AutoencoderKL, pictures: Tensor) -> dict[str, float]:
    """Return PSNR in dB and mean absolute error (range [-1, 1]) of encode-decode."""
    decoded = torch.cat(
        [autoencoder.decode(autoencoder.encode(batch).latent_dist.mean).sample for batch in pictures.split(4)]
    ).clamp(-1, 1)
    psnr_db = -10 * torch.log10(F.mse_loss(decoded, pictures) / 4).item()
    return {"psnr_db": psnr_db, "l1": F.l1_loss(decoded, pictures).item()}
