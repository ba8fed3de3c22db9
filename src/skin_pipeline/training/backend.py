"""What the loop asks of a model family. The loop, the cache and validation know no family but through this.

Shapes: B batch, C latent channels, H W pixels, h w latent cells, L tokens, D and P embedding widths.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TextEmbeddings:
    """Encoded captions.

    Attributes:
        prompt_embeds: (B, L, D).
        pooled_prompt_embeds: (B, P).
    """

    prompt_embeds: Tensor
    pooled_prompt_embeds: Tensor


@dataclass(frozen=True)
class EncodedImages:
    """Encoded pictures: the normal distribution of their scaled latents.

    Attributes:
        mean: (B, C, h, w).
        std: (B, C, h, w).
    """

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class Batch:
    """What one forward pass works on.

    Attributes:
        sample_ids: The pictures' names, B of them.
        latents: (B, C, h, w), drawn and scaled as the denoiser expects.
        noise: (B, C, h, w), standard normal.
        timesteps: (B,), int64.
        conditioning_pixel_values: (B, 3, H, W), [0, 1].
        prompt_embeds: (B, L, D).
        pooled_prompt_embeds: (B, P).
        sizes: (B, 6): original height and width, crop's top and left, target height and width, in pixels.
        boxes: For each picture its legends' quads in pixels.
    """

    sample_ids: tuple[str, ...]
    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    conditioning_pixel_values: Tensor
    prompt_embeds: Tensor
    pooled_prompt_embeds: Tensor
    sizes: Tensor
    boxes: tuple[Any, ...] = ()

    def to(self, device: torch.device) -> Self:
        """Return the batch with all its tensors on a device."""
        return self._with_each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """Return the batch in page-locked memory, from where copies to a GPU do not wait (see DataLoader)."""
        return self._with_each(Tensor.pin_memory)

    def _with_each(self, change: Callable[[Tensor], Tensor]) -> Self:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {n: change(v) for n, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **changed)


class ModelFamily(Protocol):
    """A base model, frozen, and the ControlNet that is trained for it."""

    controlnet: nn.Module
    """The only part whose weights move; those that do are fp32."""
    prediction_type: str
    """What the denoiser predicts: ``epsilon`` or ``v_prediction``."""
    num_train_timesteps: int
    """Length of the noise schedule."""
    base_digest: str
    """sha256 of the base model's files."""
    image_encoder_digest: str
    """sha256 of what encodes pictures."""
    text_encoder_digest: str
    """sha256 of what encodes captions."""

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the frozen parts to a device and number format, and the ControlNet to the device."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the ControlNet's parameters for the optimizer, with ``lr_factor`` in each group."""

    def encode_images(self, pixel_values: Tensor) -> EncodedImages:
        """Encode pictures (B, 3, H, W) in [-1, 1]."""

    def encode_text(self, captions: list[str]) -> TextEmbeddings:
        """Encode captions as inference does."""

    def encode_no_text(self) -> TextEmbeddings:
        """Return what inference uses for no prompt, B = 1."""

    def release_encoders(self) -> None:
        """Free the memory of what encodes pictures and captions; it is loaded again when asked for."""

    def add_noise(self, batch: Batch) -> Tensor:
        """Return the noisy latents (B, C, h, w) of a batch."""

    def target(self, batch: Batch) -> Tensor:
        """Return what the denoiser should predict (B, C, h, w)."""

    def signal_to_noise(self, timesteps: Tensor) -> Tensor:
        """Return the signal-to-noise ratio at timesteps (B,)."""

    def control_forward(self, controlnet: nn.Module, noisy_latents: Tensor, batch: Batch) -> Any:
        """Return the ControlNet's residuals. ``controlnet`` is the trained one, perhaps wrapped."""

    def denoise_forward(self, noisy_latents: Tensor, batch: Batch, control: Any) -> Tensor:
        """Return the frozen denoiser's prediction (B, C, h, w) in fp32, given the residuals.

        It computes in the frozen parts' number format, outside autocast.
        """

    def save_weights(self, controlnet: nn.Module, folder: Path) -> None:
        """Write a ControlNet as inference loads it."""

    def build_pipeline(self, controlnet: nn.Module) -> Any:
        """Return diffusers' pipeline around the frozen parts and a ControlNet, without text encoders."""

    def draw_pictures(
        self,
        pipeline: Any,
        batch: Batch,
        no_text: TextEmbeddings,
        seeds: list[int],
        steps: int,
        guidance: float,
    ) -> list[np.ndarray]:
        """Sample a picture (H, W, 3) uint8 RGB for each item of a batch, each from its own seed."""
