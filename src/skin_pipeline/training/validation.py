"""What is measured on held-out skins during training: a comparable loss, and pictures to look at."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from skin_pipeline.training.backend import Batch, ModelFamily
from skin_pipeline.training.cache import EncodingCache
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.data import Sample, encoded_sample, join, with_legends, with_picture
from skin_pipeline.training.objective import predict, squared_errors
from skin_pipeline.training.pictures import DrawnRow, join_rows
from skin_pipeline.training.sampling import batches_of_one_size, seed_of
from skin_pipeline.training.text_loss import TextLoss


class HeldOutLoss:
    """The mean squared error on validation skins, by stretch of the noise schedule.

    Each skin is seen once in every stretch, always at the same timestep with the same noise, so two values
    differ by what was learned between them and by nothing else.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        cache: EncodingCache,
        parameters: TrainParameters,
        num_timesteps: int,
        text_loss: TextLoss | None = None,
    ) -> None:
        """Choose the skins.

        Args:
            samples: The validation split; the first ``num_validation_samples`` are used.
            cache: Holds their encodings.
            parameters: How many skins and stretches, the seed and the batch size.
            num_timesteps: Length of the noise schedule.
            text_loss: Measured too if given: of the one-step estimate, before any weights.
        """
        self._text_loss = text_loss
        self._samples = samples[: parameters.num_validation_samples]
        self._cache = cache
        self._parameters = parameters
        self._num_timesteps = num_timesteps
        self._num_buckets = parameters.num_timestep_buckets

    @torch.no_grad()
    def measure(
        self,
        backend: ModelFamily,
        controlnet: nn.Module,
        autocast: Callable[[], AbstractContextManager[None]],
        add_up: Callable[[Tensor], Tensor],
        share: slice,
        device: torch.device,
    ) -> dict[str, float]:
        """Return ``validation_loss`` and one ``validation_loss_t<first>_<last>`` for each stretch.

        With a text loss, also ``loss_text/feature_t<first>_<last>`` and ``loss_text/ctc_t<first>_<last>``,
        means over those of the skins that have legends.

        Args:
            backend: The frozen parts.
            controlnet: The weights to judge, not wrapped.
            autocast: Context of the forward pass.
            add_up: Sums a tensor over all processes.
            share: Which of the turns are this process's.
            device: Where to compute.
        """
        if not self._samples:
            return {}
        buckets = range(self._num_buckets)
        turns = [(sample, bucket) for bucket in buckets for sample in self._samples][share]
        sums = torch.zeros(4, self._num_buckets, dtype=torch.float64)  # errors; features, CTC, skins read
        size = self._parameters.train_batch_size // self._parameters.gradient_accumulation_steps
        for some in batches_of_one_size(turns, lambda turn: turn[0].size_px, size):
            batch = join([self._turn(sample, bucket) for sample, bucket in some]).to(device)
            prediction, target = predict(backend, controlnet, batch, autocast())
            measured = [squared_errors(prediction, target), *self._read(backend, batch, prediction)]
            to = torch.tensor([bucket for _, bucket in some])
            sums[: len(measured)].index_add_(1, to, torch.stack(measured).double().cpu())
        sums = add_up(sums.to(device)).cpu()
        values = self._named("validation_loss", sums[0] / len(self._samples))
        values["validation_loss"] = sums[0].mean().item() / len(self._samples)
        if self._text_loss is not None and bool((sums[3] > 0).all()):
            values |= self._named("loss_text/feature", sums[1] / sums[3])
            values |= self._named("loss_text/ctc", sums[2] / sums[3])
        return values

    def _named(self, name: str, means: Tensor) -> dict[str, float]:
        """Return a value for each stretch under a name that says which."""
        edges = [(self._edge(b), self._edge(b + 1) - 1) for b in range(self._num_buckets)]
        return {f"{name}_t{a:04d}_{z:04d}": mean for (a, z), mean in zip(edges, means.tolist(), strict=True)}

    def _read(self, backend: ModelFamily, batch: Batch, prediction: Tensor) -> list[Tensor]:
        """Return features' distances, CTC losses and whether there was anything to read, each (B,)."""
        if self._text_loss is None:
            return []
        noisy_latents = backend.add_noise(batch)
        clean = backend.predict_clean_latents(prediction, noisy_latents, batch.timesteps)
        distances = self._text_loss.distances(clean, batch)
        return [distances.feature, distances.ctc, distances.has_legends.float()]

    def _turn(self, sample: Sample, bucket: int) -> Batch:
        seed = seed_of("held-out", self._parameters.seed, sample.id, bucket)
        generator = torch.Generator().manual_seed(seed)
        share = torch.rand(1, generator=generator, dtype=torch.float64).item()
        first, end = self._edge(bucket), self._edge(bucket + 1)
        timestep = first + int(share * (end - first))
        turn = encoded_sample(sample, self._cache, timestep, generator, is_caption_dropped=False)
        if self._text_loss is None:
            return turn
        return with_legends(with_picture(turn, sample), self._parameters, seed, is_sampled=False)

    def _edge(self, bucket: int) -> int:
        """Return the first timestep of a stretch."""
        return bucket * self._num_timesteps // self._num_buckets


def draw_validation_pictures(
    backend: ModelFamily,
    controlnet: nn.Module,
    samples: Sequence[Sample],
    cache: EncodingCache,
    parameters: TrainParameters,
    autocast: Callable[[], AbstractContextManager[None]],
    device: torch.device,
) -> np.ndarray:
    """Draw skins from held-out conditioning images and captions, each at its size, from the same seeds.

    Returns:
        uint8 RGB, (sum of heights, 3 * largest width, 3) with gaps: one row a skin; its conditioning image,
        the drawn picture and the real one.
    """
    pipeline = backend.build_pipeline(controlnet)
    rows = []
    for sample in samples:
        seed = seed_of("picture", parameters.seed, sample.id)
        batch = encoded_sample(sample, cache, 0, torch.Generator(), is_caption_dropped=False).to(device)
        with autocast():
            drawn = backend.draw_pictures(
                pipeline,
                batch,
                cache.load_no_text(),
                [seed],
                parameters.validation_inference_steps,
                parameters.validation_guidance_scale,
            )[0]
        rows.append(DrawnRow(sample.read_conditioning(), drawn, sample.read_picture()))
    return join_rows(rows)


def subject_of(sample: Sample) -> dict[str, Any]:
    """Say what a row of the validation pictures shows, as JSON, for who judges them; boxes in its pixels."""
    boxes = [[[float(value) for value in point] for point in quad] for quad in sample.boxes]
    return {
        "skin": sample.id,
        "size_px": list(sample.size_px),
        "texts": list(sample.texts),
        "boxes": boxes,
    }


def save_picture(picture: np.ndarray, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    Image.fromarray(picture).save(beside, format="PNG")
    beside.replace(path)
