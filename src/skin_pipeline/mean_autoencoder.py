"""An autoencoder that encodes a conditioning image to the same latents each time."""

from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor


class MeanAutoencoderKL(AutoencoderKL):  # type: ignore[misc]
    """An AutoencoderKL whose ``encode`` gives the mean, without chance.

    Where a ControlNet takes latents, diffusers' pipelines draw them from the encoder's distribution with
    torch's global generator. The same picture would then depend on what was drawn before it and beside it.
    """

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """Encode pictures (B, 3, H, W) in [-1, 1], in the weights' number format whatever surrounds it."""
        moments = self.encode_posterior(x).parameters
        posterior = DiagonalGaussianDistribution(moments, deterministic=True)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def encode_posterior(self, x: Tensor) -> DiagonalGaussianDistribution:
        """Return the distribution of the latents of pictures, as AutoencoderKL does."""
        with torch.autocast(x.device.type, enabled=False):
            return super().encode(x.to(self.dtype)).latent_dist
