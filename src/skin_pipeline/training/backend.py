"""What the loop asks of a model family, and all that it, the cache, validation and the estimate know of one.

Shapes: B batch, C latent channels, H W pixels, h w latent cells, L tokens, D and P embedding widths.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from skin_pipeline.training.text_legends import PictureLegends


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
        texts: For each picture what they say, where text is trained.
        legends: For each picture those that are read in this step, where text is trained in it.
        pixel_values: (B, 3, H, W), [-1, 1], the real pictures, likewise.
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
    texts: tuple[tuple[str, ...], ...] = ()
    legends: tuple[PictureLegends, ...] = ()
    pixel_values: Tensor | None = None

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


class StepModel(Protocol):
    """What training steps need of a model, and all that a run's estimate builds of one.

    Timesteps are places in the noise schedule, from 0, the least noise, to ``num_train_timesteps`` - 1.
    """

    controlnet: nn.Module
    """The only part whose weights move; those that do are fp32."""
    prediction_type: str
    """What the denoiser predicts: ``epsilon``, ``v_prediction`` or ``flow`` (noise minus latents)."""
    num_train_timesteps: int
    """Length of the noise schedule."""

    @property
    def frozen_parts(self) -> Mapping[str, nn.Module]:
        """What else is held while steps are made, by name."""

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the frozen parts to a device and number format, and the ControlNet to the device."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the ControlNet's parameters for the optimizer, with ``lr_factor`` in each group."""

    def add_noise(self, batch: Batch) -> Tensor:
        """Return the noisy latents (B, C, h, w) of a batch."""

    def target(self, batch: Batch) -> Tensor:
        """Return what the denoiser should predict (B, C, h, w)."""

    def signal_to_noise(self, timesteps: Tensor) -> Tensor:
        """Return the signal-to-noise ratio at timesteps (B,): of variances, not of amplitudes."""

    def predict_clean_latents(self, model_pred: Tensor, noisy_latents: Tensor, timesteps: Tensor) -> Tensor:
        """Return the latents (B, C, h, w) that lie under the noise if a prediction is right; differentiable.

        Where the schedule leaves no signal, a prediction of noise says nothing of them: not finite.
        """

    def control_forward(self, controlnet: nn.Module, noisy_latents: Tensor, batch: Batch) -> Any:
        """Return the ControlNet's residuals. ``controlnet`` is the trained one, perhaps wrapped."""

    def denoise_forward(self, noisy_latents: Tensor, batch: Batch, control: Any) -> Tensor:
        """Return the frozen denoiser's prediction (B, C, h, w) in fp32, given the residuals.

        It computes in the frozen parts' number format, outside autocast.
        """

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Return the pictures (B, 3, H, W), about [-1, 1], of scaled latents; gradients go through.

        It computes in fp32. What it takes to decode is loaded at the first call and kept; one built without
        contents has it if its parameters have legends read.
        """

    def save_weights(self, controlnet: nn.Module, folder: Path) -> None:
        """Write a ControlNet as inference loads it."""

    def empty_batch(self, count: int, side_px: int) -> Batch:
        """Return a batch of that many pictures, with all its shapes and any contents."""

    def forget_schedule(self) -> None:
        """Replace the noise schedule by tensors without contents, for a trace of a step."""


class ModelFamily(StepModel, Protocol):
    """A base model, frozen, and the ControlNet that is trained for it.

    A family is a module of this package named in :data:`skin_pipeline.base_models.FAMILIES`. It offers
    ``load_family(parameters)``, which returns one of these, and ``build_empty(parameters)``, which returns a
    :class:`StepModel` built from configuration files alone, on the meta device.
    """

    base_digest: str
    """sha256 of the base model's files."""
    image_encoder_digest: str
    """sha256 of what encodes pictures."""
    text_encoder_digest: str
    """sha256 of what encodes captions."""

    def encode_images(self, pixel_values: Tensor) -> EncodedImages:
        """Encode pictures (B, 3, H, W) in [-1, 1]."""

    def encode_text(self, captions: list[str]) -> TextEmbeddings:
        """Encode captions as inference does."""

    def encode_no_text(self) -> TextEmbeddings:
        """Return what inference uses for no prompt, B = 1."""

    def release_encoders(self) -> None:
        """Free the memory of what encodes pictures and captions; it is loaded again when asked for."""

    def make_sampler(self) -> Any:
        """Return a fresh sampler as inference uses it: a scheduler of diffusers.

        Its model output is what the denoiser predicts. Its timesteps are places in the noise schedule; a
        flow's are times, the share of noise times the length of the schedule.
        """

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
