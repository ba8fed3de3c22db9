"""Teach the text encoders what words look like before the UNet listens to them.

Shapes: B batch, L tokens, D prompt embedding, C latent channels; pictures are averaged to 8 x 8 cells.

Freshly initialised text encoders say so little that a UNet of this size learns to do without them: it
follows the control and invents the colours. So they first learn, by themselves and in minutes, to predict a
picture's coarse latents from its caption, once from the token embeddings that cross-attention will read and
once from the pooled embedding. The two small heads are thrown away.
"""

import logging
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from skin_pipeline.embedded.analytic_encoder import LinearEncoder

logger = logging.getLogger(__name__)

COARSE_CELLS = 8
BATCH_SIZE = 32
LEARNING_RATE = 2e-3
EMBEDDING_STD = 0.2
"""Initial standard deviation of token embeddings; CLIP's 0.02 is made for far longer trainings."""


class CoarsePicture(nn.Module):
    """Predicts (B, C, 8, 8) latents from both forms of a prompt's embedding."""

    def __init__(self, prompt_dim: int, pooled_dim: int, latent_channels: int) -> None:
        """Build the two heads."""
        super().__init__()
        cells = COARSE_CELLS**2
        self.latent_channels = latent_channels
        self.queries = nn.Parameter(torch.randn(cells, 128))
        self.attention = nn.MultiheadAttention(128, 4, kdim=prompt_dim, vdim=prompt_dim, batch_first=True)
        self.from_tokens = nn.Sequential(
            nn.LayerNorm(128), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, latent_channels)
        )
        self.from_pooled = nn.Sequential(
            nn.Linear(pooled_dim, 256), nn.GELU(), nn.Linear(256, latent_channels * cells)
        )

    def forward(self, prompt_embeds: Tensor, pooled_prompt_embeds: Tensor) -> tuple[Tensor, Tensor]:
        """Return the prediction from (B, L, D) token embeddings and the one from the pooled embedding."""
        batch = len(prompt_embeds)
        shape = (batch, self.latent_channels, COARSE_CELLS, COARSE_CELLS)
        attended, _ = self.attention(
            self.queries.expand(batch, -1, -1), prompt_embeds, prompt_embeds, need_weights=False
        )
        return (
            self.from_tokens(attended).transpose(1, 2).reshape(shape),
            self.from_pooled(pooled_prompt_embeds).reshape(shape),
        )


def coarse_latents(pictures: np.ndarray, encode: LinearEncoder, scaling_factor: float) -> Tensor:
    """Encode (N, S, S, 3) uint8 pictures and average the latents to (N, C, 8, 8)."""

    def batches() -> Iterator[Tensor]:
        for start in range(0, len(pictures), 32):
            batch = torch.from_numpy(np.array(pictures[start : start + 32])).permute(0, 3, 1, 2)
            yield F.adaptive_avg_pool2d(scaling_factor * encode(batch.float() / 127.5 - 1), COARSE_CELLS)

    return torch.cat(list(batches()))


def pretrain_text_encoders(
    text_encoder: CLIPTextModel,
    text_encoder_2: CLIPTextModelWithProjection,
    tokens: Tensor,
    coarse: Tensor,
    num_steps: int,
    seed: int,
) -> float:
    """Train both encoders in place.

    Args:
        text_encoder: SDXL's first, whose penultimate layer is used.
        text_encoder_2: SDXL's second, whose penultimate layer and projection are used.
        tokens: (N, V, L), all captions of all pictures.
        coarse: (N, C, 8, 8), what to predict.
        num_steps: Optimizer steps.
        seed: Of the initial weights and the batches.

    Returns:
        The share of the coarse latents' variance that the token embeddings explain at the end, on the
        training captions.
    """
    torch.manual_seed(seed)
    for encoder in (text_encoder, text_encoder_2):
        nn.init.normal_(encoder.get_input_embeddings().weight, std=EMBEDDING_STD)
    prompt_dim = text_encoder.config.hidden_size + text_encoder_2.config.hidden_size
    heads = CoarsePicture(prompt_dim, text_encoder_2.config.projection_dim, coarse.shape[1])
    modules = nn.ModuleList([text_encoder, text_encoder_2, heads])
    optimizer = torch.optim.AdamW(modules.parameters(), LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, num_steps, pct_start=0.05)
    variance = coarse.var(dim=0, unbiased=False).mean().item()
    recent = variance
    for step in range(num_steps):
        rows = torch.randint(0, len(coarse), (BATCH_SIZE,))
        variants = torch.randint(0, tokens.shape[1], (BATCH_SIZE,))
        first = text_encoder(tokens[rows, variants], output_hidden_states=True)
        second = text_encoder_2(tokens[rows, variants], output_hidden_states=True)
        prompt_embeds = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        by_tokens, by_pooled = heads(prompt_embeds, second[0])
        token_loss = F.mse_loss(by_tokens, coarse[rows])
        loss = token_loss + F.mse_loss(by_pooled, coarse[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent += 0.02 * (token_loss.item() - recent)
        if (step + 1) % 250 == 0:
            logger.info(
                "text step %d of %d: %.3f of the variance explained",
                step + 1,
                num_steps,
                1 - recent / variance,
            )
    return 1 - recent / variance
