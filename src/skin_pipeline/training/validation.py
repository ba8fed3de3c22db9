"""What is measured on held-out skins during training: a comparable loss, and pictures to look at."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from skin_pipeline.training.backend import Batch, ModelFamily
from skin_pipeline.training.cache import EncodingCache
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.data import Sample, encoded_sample, join
from skin_pipeline.training.objective import predict, squared_errors
from skin_pipeline.training.sampling import batches_of_one_size, seed_of

_GAP_PX = 4


class HeldOutLoss:
    """The mean squared error on validation skins, by stretch of the noise schedule.

    Each skin is seen once in every stretch, always at the same timestep with the same noise, so two values
    differ by what was learned between them and by nothing else.
    """

    def __init__(
        self, samples: Sequence[Sample], cache: EncodingCache, parameters: TrainParameters, num_timesteps: int
    ) -> None:
        """Choose the skins.

        Args:
            samples: The validation split; the first ``num_validation_samples`` are used.
            cache: Holds their encodings.
            parameters: How many skins and stretches, the seed and the batch size.
            num_timesteps: Length of the noise schedule.
        """
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
        sums = torch.zeros(self._num_buckets, dtype=torch.float64)
        size = self._parameters.train_batch_size // self._parameters.gradient_accumulation_steps
        for some in batches_of_one_size(turns, lambda turn: turn[0].size_px, size):
            batch = join([self._turn(sample, bucket) for sample, bucket in some]).to(device)
            errors = squared_errors(*predict(backend, controlnet, batch, autocast())).double().cpu()
            sums.index_add_(0, torch.tensor([bucket for _, bucket in some]), errors)
        means = add_up(sums.to(device)).cpu() / len(self._samples)
        names = [f"validation_loss_t{self._edge(b):04d}_{self._edge(b + 1) - 1:04d}" for b in buckets]
        return {"validation_loss": means.mean().item(), **dict(zip(names, means.tolist(), strict=True))}

    def _turn(self, sample: Sample, bucket: int) -> Batch:
        seed = seed_of("held-out", self._parameters.seed, sample.id, bucket)
        generator = torch.Generator().manual_seed(seed)
        share = torch.rand(1, generator=generator, dtype=torch.float64).item()
        first, end = self._edge(bucket), self._edge(bucket + 1)
        timestep = first + int(share * (end - first))
        return encoded_sample(sample, self._cache, timestep, generator, is_caption_dropped=False)

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
        rows.append([sample.read_conditioning(), drawn, sample.read_picture()])
    return _grid(rows)


def save_picture(picture: np.ndarray, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    Image.fromarray(picture).save(beside, format="PNG")
    beside.replace(path)


def _grid(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Return rows of pictures, white between and beside them; the pictures of a row are of one size."""
    pitch_x = max(row[0].shape[1] for row in rows) + _GAP_PX
    height = sum(row[0].shape[0] + _GAP_PX for row in rows) - _GAP_PX
    sheet = np.full((height, len(rows[0]) * pitch_x - _GAP_PX, 3), 255, dtype=np.uint8)
    top = 0
    for row in rows:
        for place, picture in enumerate(row):
            left = place * pitch_x
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        top += row[0].shape[0] + _GAP_PX
    return sheet
