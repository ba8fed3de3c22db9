"""An autoencoder's encoder in closed form: a two-stage PCA of 8x8 patches inside a stock AutoencoderKL.

A freshly initialised encoder needs thousands of steps before it keeps a picture's absolute colour. The best
*linear* encoder needs none: it is the principal components of the patches. They are written into the stock
architecture, so that the weights load like any other:

* strided convolutions do space-to-depth and the projections of the two stages (patches of 4x4, then of 8x8);
* residual blocks are zero, their shortcuts the identity;
* SiLU is made linear by pairs, since silu(a) - silu(-a) = a;
* the last group normalisation (one group) is neutralised by constant channels of +K and -K, which fix its
  mean at 0 and its variance.

Patches with legends get more weight in the covariance, so that the basis keeps strokes.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

NEUTRALISER = 12.0
"""K: large against the latents, whose total standard deviation is 1."""
LINEARITY_TOLERANCE = 0.05
"""Largest difference between the convolutions and their matrix, in units of the latents' deviation."""


@torch.no_grad()
def fit_encoder(
    autoencoder: AutoencoderKL, pictures: Tensor, weights: Tensor, whitening: float
) -> AutoencoderKL:
    """Write the encoder's weights and initialise the decoder for a fast start.

    Args:
        autoencoder: One of :func:`~skin_pipeline.embedded.architecture.build_autoencoder`.
        pictures: (N, 3, H, W) in [-1, 1].
        weights: (N, H/8, W/8), the weight of each patch of 8x8 pixels in the second stage.
        whitening: 0 keeps the components' variances, 1 makes them all equal.

    Returns:
        ``autoencoder``, changed in place. Its latents have a total variance of 1 a channel on average.
    """
    _start_residual_blocks_at_identity(autoencoder)
    encoder, latents = autoencoder.encoder, autoencoder.config.latent_channels
    first, second, third = (block.downsamplers[0].conv for block in encoder.down_blocks[:3])
    encoder.conv_in.weight.zero_()
    encoder.conv_in.weight[range(3), range(3), 1, 1] = 1

    cells = _space_to_depth(pictures)
    _set_strided(first, torch.eye(12), torch.zeros(12), 3)

    cells = _space_to_depth(cells)
    basis, mean, _ = _principal_components(cells, min(second.weight.shape[0], cells.shape[1]))
    _set_strided(second, basis, -basis @ mean, 12)
    cells = torch.einsum("oc,nchw->nohw", basis, cells) - (basis @ mean)[None, :, None, None]

    stage_channels = cells.shape[1]
    cells = _space_to_depth(cells)
    basis, mean, variances = _principal_components(cells, latents, weights)
    scale = variances ** (-whitening / 2)
    scale = scale / ((variances.sqrt() * scale).square().mean().sqrt())
    basis = basis * scale[:, None]
    shift = -basis @ mean
    _set_strided(third, torch.cat([basis, -basis]), torch.cat([shift, -shift]), stage_channels)
    _neutralise_last_norm(encoder, third, latents)
    return autoencoder


def _start_residual_blocks_at_identity(autoencoder: AutoencoderKL) -> None:
    """Zero every residual branch's last convolution and all biases; resampling starts as copying."""
    for name, module in autoencoder.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
        if name.endswith("conv2"):
            nn.init.zeros_(module.weight)
        elif "upsamplers" in name:
            nn.init.normal_(module.weight, std=0.02 / module.in_channels**0.5)
            shared = range(min(module.weight.shape[:2]))
            module.weight[shared, shared, 1, 1] += 1
        elif name.endswith("conv_shortcut"):
            nn.init.zeros_(module.weight)
            shared = range(min(module.weight.shape[:2]))
            module.weight[shared, shared] = 1
        else:
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")


def _space_to_depth(cells: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 4C, H/2, W/2), channels in the order dy, dx, c."""
    n, c, h, w = cells.shape
    blocks = cells.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, 4 * c, h // 2, w // 2)


def _set_strided(conv: Any, matrix: Tensor, bias: Tensor, in_channels: int) -> None:
    """Make a 3x3 stride-2 convolution (padded right and below) apply ``matrix`` to blocks of 2x2 cells."""
    conv.weight.zero_()
    conv.bias.zero_()
    outputs = matrix.shape[0]
    conv.weight[:outputs, :in_channels, 0:2, 0:2] = matrix.view(outputs, 2, 2, in_channels).permute(
        0, 3, 1, 2
    )
    conv.bias[:outputs] = bias


def _principal_components(
    cells: Tensor, count: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (count, C) components, the (C,) mean and the (count,) variances, largest first."""
    rows = cells.permute(0, 2, 3, 1).reshape(-1, cells.shape[1]).double()
    row_weights = (
        torch.ones(len(rows), dtype=torch.double) if weights is None else weights.reshape(-1).double()
    )
    row_weights = row_weights / row_weights.sum()
    mean = (rows * row_weights[:, None]).sum(0)
    centred = rows - mean
    _, vectors = torch.linalg.eigh((centred * row_weights[:, None]).T @ centred)
    basis = vectors.flip(1)[:, :count].T
    variances = (centred @ basis.T).square().mean(0)
    return basis.float(), mean.float(), variances.float()


def _neutralise_last_norm(encoder: Any, third: Any, latents: int) -> None:
    """Fill the channels left with +K and -K, undo the normalisation, and subtract the pairs again."""
    channels = third.weight.shape[0]
    spare = (channels - 2 * latents) // 2
    if spare < 1:
        raise ValueError(
            f"{latents} latents need at least {2 * latents + 2} channels, the encoder has {channels}."
        )
    third.bias[2 * latents : 2 * latents + spare] = NEUTRALISER
    third.bias[2 * latents + spare : 2 * latents + 2 * spare] = -NEUTRALISER
    variance = (NEUTRALISER**2 * 2 * spare + 2 * latents) / channels
    encoder.conv_norm_out.weight.fill_(variance**0.5)
    encoder.conv_norm_out.bias.zero_()
    out = encoder.conv_out
    out.weight.zero_()
    out.bias.zero_()
    out.weight[range(latents), range(latents), 1, 1] = 1
    out.weight[range(latents), range(latents, 2 * latents), 1, 1] = -1
    out.bias[latents:] = -8.0  # log-variance: practically no posterior noise


@dataclass(frozen=True)
class LinearEncoder:
    """The encoder as what it is, one matrix; thousands of times faster than its convolutions."""

    matrix: Tensor
    """(C, 192); a patch's values in the order c, y, x."""
    bias: Tensor
    """(C,)."""

    def __call__(self, pictures: Tensor) -> Tensor:
        """Encode (N, 3, H, W) pictures in [-1, 1] to unscaled latents (N, C, H/8, W/8)."""
        cells = F.pixel_unshuffle(pictures, 8)
        return torch.einsum("cp,nphw->nchw", self.matrix, cells) + self.bias[None, :, None, None]


@torch.no_grad()
def linearise(autoencoder: AutoencoderKL, pictures: Tensor) -> LinearEncoder:
    """Recover the matrix of an encoder made by :func:`fit_encoder` from its output on ``pictures``.

    Raises:
        ValueError: The encoder is not linear.
    """
    latents = autoencoder.encode(pictures).latent_dist.mean
    patches = F.pixel_unshuffle(pictures, 8).permute(0, 2, 3, 1).reshape(-1, 192)
    design = torch.cat([patches, torch.ones(len(patches), 1)], dim=1).double()
    wanted = latents.permute(0, 2, 3, 1).reshape(len(patches), -1).double()
    # Ridge: flat patches leave directions without evidence, in which zero is as good as anything.
    gram = design.T @ design + 1e-6 * len(design) * torch.eye(193, dtype=torch.double)
    solution = torch.linalg.solve(gram, design.T @ wanted).float()
    encoder = LinearEncoder(matrix=solution[:192].T.contiguous(), bias=solution[192].contiguous())
    error = (encoder(pictures) - latents).abs().max().item()
    if error > LINEARITY_TOLERANCE:
        raise ValueError(f"The encoder is not linear: its matrix misses its output by {error:.3g}.")
    return encoder


def patch_weights(legend_cells: Tensor, legend_weight: float) -> Tensor:
    """Weights of 8x8 patches from the share of each that is legend: 1 + weight where there is any."""
    return 1 + legend_weight * (legend_cells > 0).float()
