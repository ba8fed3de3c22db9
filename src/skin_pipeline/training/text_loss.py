"""What a recogniser holds against the legends that the model makes.

    L = L_denoising + abar_t (feature_weight L_feature + ctc_weight L_ctc + latent_weight L_latent)

after AnyText (Tuo et al. 2024, section 3.4): a frozen recogniser reads a crop of the model's estimate of the
clean picture, and the same crop of the real one. L_feature is the squared distance of its features, in units
of the real crop's mean square (0: equal, about 1: other text); L_ctc is the CTC loss of the string for each
place of the text. L_latent needs no recogniser: it is the squared distance of the estimate's latents to the
real picture's where legends are. abar_t, the share of signal at the timestep, fades out what is read through
much noise. All are means over a picture's legends, and then over the pictures of the batch.

What makes it work, where a plain CTC loss on samples hardly falls:

- Only windows around legends are decoded, with the gradient.
- Estimate and real picture are seen through the same random shift, scale, blur and noise, as a recogniser can
  otherwise be pleased by pixels that nobody can read.
- An estimate from the model's own samples (:mod:`skin_pipeline.training.text_sampling`) shows errors that one
  from noise on a real picture does not.

A window and a crop do not depend on what they are batched with, so neither does the loss of a picture.

Shapes: B pictures, N legends, C latent channels, h w latent cells, H W pixels, T places of a text.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skin_pipeline.geometry import FloatArray, boxes_of, quad_sizes, runs_downwards
from skin_pipeline.recognition.rectify import pad_crops, rectify
from skin_pipeline.recognition.torch_recognizer import BLANK, Reading, TorchRecognizer, num_places
from skin_pipeline.training.backend import Batch, ModelFamily, TextEmbeddings
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.sampling import seed_of
from skin_pipeline.training.text_parameters import TextParameters
from skin_pipeline.training.text_sampling import sample_with_gradient, states_in_sampling

MARGIN_CELLS = 1
"""Latent cells decoded around a legend beyond its crop. The decoder sees further (its normalisation sees the
whole window), but for the recogniser it makes no difference: with the embedded model distances of features
are off by 0.005, where other text is at 1.2; with two cells by 0.003, with five by 0.002, and decoding
costs half as much again with two."""
WINDOW_MULTIPLE_CELLS = 2
"""Windows are of few sizes, as those of one size are decoded together."""
WIDTH_MULTIPLE_PX = 32
"""Crops are padded to such widths, and those of one width are read together."""

Autocast = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Distances:
    """How far estimates of pictures are from their legends, each (B,); 0 where a picture has none.

    Attributes:
        feature: Mean squared distance of features, in units of the real crops' mean square.
        ctc: CTC loss for each place of the text.
        has_legends: Whether anything was read, bool.
    """

    feature: Tensor
    ctc: Tensor
    has_legends: Tensor


@dataclass(frozen=True)
class _Legend:
    """One legend to read: where it is, and the window of the picture that is decoded for it."""

    picture: int
    text: str
    quad: FloatArray
    top: int
    left: int
    height: int
    width: int
    blur_px: float
    noise: float
    noise_seed: int


class TextLoss:
    """The text loss of one run."""

    def __init__(
        self,
        backend: ModelFamily,
        parameters: TrainParameters,
        recognizer: TorchRecognizer,
        no_text: TextEmbeddings,
    ) -> None:
        """Keep what the loss is made with.

        Args:
            backend: Decodes, and samples.
            parameters: ``text`` and the seed count.
            recognizer: On the training device.
            no_text: For classifier-free guidance.
        """
        self._backend = backend
        self._parameters: TextParameters = parameters.text
        self._seed = parameters.seed
        self._recognizer = recognizer
        self._no_text = no_text

    def __call__(
        self, controlnet: nn.Module, batch: Batch, prediction: Tensor, autocast: Autocast, step: int
    ) -> Tensor:
        """Return each picture's weighted text loss (B,), to be added to its denoising loss.

        Args:
            controlnet: The trained one, perhaps wrapped.
            batch: With the legends that are read; without them the loss is 0.
            prediction: (B, C, h, w), the step's own.
            autocast: Makes the context of a forward pass.
            step: The optimizer step.
        """
        loss = torch.zeros(len(batch.latents), device=batch.latents.device)
        if not any(legends.gt_text for legends in batch.legends):
            return loss
        if self._parameters.is_one_step:
            loss = loss + self._of_estimate(batch, prediction)
        if self._parameters.is_sampling:
            loss = loss + self._of_samples(controlnet, batch, autocast, step)
        return loss

    def _of_estimate(self, batch: Batch, prediction: Tensor) -> Tensor:
        """Read the estimates of the step's own prediction."""
        is_read = [
            bool(legends.gt_text) and timestep < self._parameters.timestep_limit
            for legends, timestep in zip(batch.legends, batch.timesteps.tolist(), strict=True)
        ]

        def read(some: Batch, chosen: Tensor) -> Tensor:
            noisy_latents = self._backend.add_noise(some)
            estimate = self._backend.predict_clean_latents(prediction[chosen], noisy_latents, some.timesteps)
            return self._weighted(some, estimate)

        return self._of_some(is_read, batch, read)

    def _of_samples(self, controlnet: nn.Module, batch: Batch, autocast: Autocast, step: int) -> Tensor:
        """Let the model sample some pictures, and read those; weighted as if all had been."""
        p = self._parameters
        is_read = [bool(legends.gt_text) and legends.is_sampled for legends in batch.legends]

        def read(some: Batch, _: Tensor) -> Tensor:
            if p.mode == "sampled":
                latents, timesteps = sample_with_gradient(
                    self._backend, controlnet, some, self._no_text, p, autocast
                )
                return self._weighted(replace(some, timesteps=timesteps), latents, whole=True)
            states, guided = states_in_sampling(
                self._backend, controlnet, some, self._no_text, p, autocast, self._steps_to_read(step)
            )
            losses = []
            for state in states:
                estimate = self._backend.predict_clean_latents(
                    guided(state), state.noisy_latents, state.timesteps
                )
                losses.append(self._weighted(replace(some, timesteps=state.timesteps), estimate))
            return torch.stack(losses).mean(0)

        return self._of_some(is_read, batch, read) / p.sampled_share

    def _steps_to_read(self, step: int) -> list[int]:
        """Draw the sampler's steps that are read, rising: one of each of so many parts of the last steps."""
        p = self._parameters
        among = min(p.last_steps, p.sampler_steps)
        parts = min(p.sampled_states, among)
        bounds = [p.sampler_steps - among + round(among * part / parts) for part in range(parts + 1)]
        return [
            low + seed_of("sampler", self._seed, step, low) % (high - low) for low, high in pairwise(bounds)
        ]

    def _of_some(
        self, is_read: Sequence[bool], batch: Batch, read: Callable[[Batch, Tensor], Tensor]
    ) -> Tensor:
        """Apply ``read`` to some pictures of a batch; 0 for the others."""
        loss = torch.zeros(len(is_read), device=batch.latents.device)
        places = [index for index, is_one in enumerate(is_read) if is_one]
        if not places:
            return loss
        chosen = torch.tensor(places, device=loss.device)
        return loss.index_add(0, chosen, read(select(batch, places), chosen))

    def _weighted(self, batch: Batch, clean_latents: Tensor, whole: bool = False) -> Tensor:
        p = self._parameters
        feature_weight = 0.0 if p.mode == "sampled" else p.feature_weight
        distances = self.distances(clean_latents, batch, p.ctc_weight > 0, feature_weight > 0, whole)
        loss = feature_weight * distances.feature + p.ctc_weight * distances.ctc
        if p.latent_weight and p.mode != "sampled":
            loss = loss + p.latent_weight * latent_distances(clean_latents, batch)
        if p.timestep_weighting == "none":
            return loss
        snr = self._backend.signal_to_noise(batch.timesteps)
        return loss * torch.where(snr.isinf(), torch.ones_like(snr), snr / (1 + snr))

    def distances(
        self,
        clean_latents: Tensor,
        batch: Batch,
        with_ctc: bool = True,
        with_features: bool = True,
        whole: bool = False,
    ) -> Distances:
        """Read the legends of estimated pictures, and the same of the real ones.

        Args:
            clean_latents: (B, C, h, w), the estimates.
            batch: Their legends and real pictures.
            with_ctc: Compute the CTC loss; else 0.
            with_features: Compute the features' distance; else 0.
            whole: Decode whole pictures in place of windows.
        """
        assert batch.pixel_values is not None
        device, count = clean_latents.device, len(clean_latents)
        cell = batch.pixel_values.shape[-2] // clean_latents.shape[-2]
        size = (clean_latents.shape[-2], clean_latents.shape[-1])
        feature, ctc = torch.zeros(2, count, device=device).unbind()
        number = torch.zeros(count, device=device)
        for legends in _of_one_window(self._plan(batch, cell, size, whole)):
            pictures = torch.tensor([legend.picture for legend in legends], device=device)
            made = self._backend.decode_latents(torch.stack([_cut(clean_latents, one, 1) for one in legends]))
            real = torch.stack([_cut(batch.pixel_values, one, cell) for one in legends])
            for places, crops, real_crops, widths in _crops(legends, made, real):
                reading = self._recognizer(crops)
                some = [legends[place] for place in places]
                to = pictures[torch.tensor(places, device=device)]
                if with_features:
                    with torch.no_grad():
                        real_reading = self._recognizer(real_crops)
                    feature = feature.index_add(0, to, _feature_distances(reading, real_reading, widths))
                if with_ctc:
                    losses = self._ctc(reading, [legend.text for legend in some], widths)
                    ctc = ctc.index_add(0, to, losses)
                number = number.index_add(0, to, torch.ones(len(to), device=device))
        return Distances(feature / number.clamp(min=1), ctc / number.clamp(min=1), number > 0)

    # --- where to look ------------------------------------------------------------------------------------

    def _plan(self, batch: Batch, cell: int, size: tuple[int, int], whole: bool) -> Iterator[_Legend]:
        """Draw how each legend is looked at, and the window that it takes."""
        p = self._parameters
        for picture, legends in enumerate(batch.legends):
            lots = np.random.default_rng(seed_of("crops", legends.seed))
            for number, (text, quad) in enumerate(zip(legends.gt_text, legends.box, strict=True)):
                shift, scale = lots.uniform(-1, 1, 2), lots.uniform(-1, 1)
                blur_px, noise = lots.uniform(0, 1, 2) * (p.crop_blur_px, p.crop_noise)
                seen = _with_margin(quad, p.crop_margin, 1 + p.crop_scale * scale) + p.crop_shift_px * shift
                top, left, height, width = (0, 0, *size) if whole else _window(seen, cell, size)
                yield _Legend(
                    picture=picture,
                    text=text,
                    quad=seen - (left * cell, top * cell),
                    top=top,
                    left=left,
                    height=height,
                    width=width,
                    blur_px=float(blur_px),
                    noise=float(noise),
                    noise_seed=seed_of("noise", legends.seed, number),
                )

    # --- what is read -------------------------------------------------------------------------------------

    def _ctc(self, reading: Reading, texts: Sequence[str], widths: Tensor) -> Tensor:
        """Return each crop's CTC loss for each place (N,); 0 for strings that cannot be read there."""
        encoded = [self._recognizer.encode(text) or [] for text in texts]
        lengths = [len(one) for one in encoded]
        longest = max(1, *lengths)
        targets = torch.tensor([one + [BLANK] * (longest - len(one)) for one in encoded])
        losses: Tensor = F.ctc_loss(
            reading.logits.log_softmax(-1).transpose(0, 1),
            targets.to(widths.device),
            [reading.logits.shape[1]] * len(texts),  # type: ignore[arg-type]  # lists wait for no device
            lengths,  # type: ignore[arg-type]
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        is_known = torch.tensor([bool(one) for one in encoded], device=losses.device)
        return losses * is_known / num_places(widths)


def select(batch: Batch, places: Sequence[int]) -> Batch:
    """Return some pictures of a batch."""
    chosen = torch.tensor(places, device=batch.latents.device)

    def some(values: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(values[place] for place in places) if values else values

    changed: dict[str, Any] = {
        name: value[chosen] if isinstance(value, Tensor) else some(value)
        for name, value in vars(batch).items()
        if value is not None
    }
    return replace(batch, **changed)


def latent_distances(clean_latents: Tensor, batch: Batch) -> Tensor:
    """Return each picture's mean squared distance of latents under legends (B,); 0 where it has none.

    Latents are scaled to a variance of about 1. Cells on a legend's edge count by what is covered of them.

    Args:
        clean_latents: (B, C, h, w), the estimates.
        batch: With the real latents and the legends' boxes.
    """
    covered = legend_cover(batch)
    squared = (clean_latents - batch.latents).square().mean(1, keepdim=True)
    return (squared * covered).sum((1, 2, 3)) / covered.sum((1, 2, 3)).clamp(min=1e-6)


def cell_weights(batch: Batch, legend_weight: float) -> Tensor:
    """Return the weight of each latent cell in the loss, (B, 1, h, w), of mean 1 over a picture.

    A cell that a legend's box covers has ``legend_weight`` times the weight of one that none does; on a box's
    edge, in proportion to what is covered.
    """
    weights = 1 + (legend_weight - 1) * legend_cover(batch)
    return weights / weights.mean((1, 2, 3), keepdim=True)


def legend_cover(batch: Batch) -> Tensor:
    """Return the share of each latent cell that a legend's box covers, (B, 1, h, w)."""
    count, _, height, width = batch.latents.shape
    covered = np.zeros((count, height, width))
    cell = batch.conditioning_pixel_values.shape[-1] / width
    for picture, boxes in enumerate(batch.boxes):
        for x_min, y_min, x_max, y_max in boxes_of(boxes) / cell:
            down = _overlap(y_min, y_max, height)[:, None]
            covered[picture] = np.maximum(covered[picture], down * _overlap(x_min, x_max, width))
    return torch.from_numpy(covered).float()[:, None].to(batch.latents.device)


def _overlap(start: float, end: float, count: int) -> FloatArray:
    """Return how much of each of ``count`` unit intervals lies between two points."""
    lower = np.arange(count, dtype=np.float64)
    overlap: FloatArray = np.clip(np.minimum(end, lower + 1) - np.maximum(start, lower), 0, 1)
    return overlap


def _with_margin(quad: FloatArray, margin: float, scale: float) -> FloatArray:
    """Return a quad scaled about its centre, after room of ``margin`` heights was made on all its sides."""
    width, height = quad_sizes(quad)[0]
    room = 2 * margin * min(width, height)
    across, down = scale * (1 + room / width), scale * (1 + room / height)
    centre = quad.mean(axis=0)
    half_across = (quad[1] + quad[2] - quad[0] - quad[3]) / 4
    half_down = (quad[2] + quad[3] - quad[0] - quad[1]) / 4
    bend = (quad[0] + quad[2] - quad[1] - quad[3]) / 4  # what makes it no parallelogram
    signs = np.array([[-1, -1, 1], [1, -1, -1], [1, 1, 1], [-1, 1, -1]])
    sides = np.stack([across * half_across, down * half_down, across * down * bend])
    corners: FloatArray = centre + signs @ sides
    return corners


def _window(quad: FloatArray, cell: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return top, left, height and width, in latent cells, of what is decoded for a quad."""
    x_min, y_min, x_max, y_max = boxes_of(quad)[0] / cell
    top, height = _span(y_min, y_max, size[0])
    left, width = _span(x_min, x_max, size[1])
    return top, left, height, width


def _span(start: float, end: float, count: int) -> tuple[int, int]:
    """Return first cell and number of cells of one side of a window, within the picture."""
    length = min(count, _round_up(end - start + 2 * MARGIN_CELLS, WINDOW_MULTIPLE_CELLS))
    first = round((start + end - length) / 2)
    return min(max(first, 0), count - length), length


def _round_up(value: float, multiple: int) -> int:
    return int(-(-value // multiple) * multiple)


def _cut(pictures: Tensor, legend: _Legend, unit: int) -> Tensor:
    """Cut a legend's window out of its picture, or of its latents, of ``unit`` pixels a cell."""
    rows = slice(legend.top * unit, (legend.top + legend.height) * unit)
    return pictures[legend.picture, :, rows, legend.left * unit : (legend.left + legend.width) * unit]


def _of_one_window(legends: Iterator[_Legend]) -> Iterator[list[_Legend]]:
    """Yield legends whose windows have one size."""
    groups: dict[tuple[int, int], list[_Legend]] = defaultdict(list)
    for legend in legends:
        groups[legend.height, legend.width].append(legend)
    yield from groups.values()


def _crops(
    legends: Sequence[_Legend], made: Tensor, real: Tensor
) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor]]:
    """Yield crops of equal width: their places, of the estimates, of the real pictures, own widths."""
    turned = [runs_downwards(legend.quad, legend.text) for legend in legends]
    quads = [legend.quad for legend in legends]
    views = [list(map(rectify, pictures, quads, turned)) for pictures in (made, real)]
    by_width: dict[int, list[int]] = defaultdict(list)
    for place, crop in enumerate(views[0]):
        by_width[_round_up(crop.shape[-1], WIDTH_MULTIPLE_PX)].append(place)
    for width_px, places in by_width.items():
        some = [legends[place] for place in places]
        (crops, widths), (real_crops, _) = (
            pad_crops([view[place] for place in places], width_px) for view in views
        )
        yield places, _disturb(crops, some, widths), _disturb(real_crops, some, widths), widths


def _disturb(crops: Tensor, legends: Sequence[_Legend], widths: Tensor) -> Tensor:
    """Blur each crop and add noise to it, as its legend says; what is padded stays as it is."""
    disturbed = []
    for crop, legend in zip(crops, legends, strict=True):
        generator = torch.Generator().manual_seed(legend.noise_seed)
        noise = torch.randn(crop.shape, generator=generator).to(crop)
        disturbed.append(_blur(crop, legend.blur_px) + legend.noise * noise)
    columns = torch.arange(crops.shape[-1], device=crops.device)
    return torch.stack(disturbed) * (columns < widths[:, None])[:, None, None]


def _blur(crop: Tensor, sigma: float) -> Tensor:
    """Blur a crop (3, h, w) with a Gaussian of a standard deviation below 2 pixels."""
    if sigma < 0.1:
        return crop
    offsets = torch.arange(-4, 5, device=crop.device, dtype=crop.dtype)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = (weights / weights.sum()).view(1, 1, 1, -1)
    padded = F.pad(crop[:, None], (4, 4, 4, 4), mode="replicate")
    blurred: Tensor = F.conv2d(F.conv2d(padded, weights), weights.transpose(2, 3))
    return blurred[:, 0]


def _feature_distances(reading: Reading, real: Reading, widths: Tensor) -> Tensor:
    """Return each crop's mean squared distance of features, in units of the real one's mean square (N,)."""
    places = torch.arange(reading.features.shape[1], device=widths.device)
    counts = (places < num_places(widths)[:, None]).to(reading.features)[..., None]
    squared = (reading.features - real.features).square() * counts
    return squared.sum((1, 2)) / (real.features.square() * counts).sum((1, 2))
