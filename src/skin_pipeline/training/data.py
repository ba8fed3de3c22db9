"""The published training set, read for training: its rows, its pictures, and batches of encoded ones.

Everything random about a picture's turn (its draw from the autoencoder's distribution, noise, timestep,
whether its caption is dropped) comes from a generator of its own, seeded by (seed, picture, epoch, step):
nothing depends on what ran before, on the number of processes or on who reads the pictures.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from skin_pipeline.errors import InputError
from skin_pipeline.geometry import Size, quad_sizes, quads_inside
from skin_pipeline.items import json_digest
from skin_pipeline.prep.legend_heights import small_legends_warning
from skin_pipeline.prep.publish import legends_of
from skin_pipeline.training.backend import Batch
from skin_pipeline.training.buckets import Pixels, Placement, check_same_shape, training_size
from skin_pipeline.training.cache import EncodingCache
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.sampling import Draw, seed_of
from skin_pipeline.training.text_legends import choose_legends, is_sampled_slot, placed_legends
from skin_pipeline.training.timesteps import timestep_at

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One row of the training set.

    Attributes:
        id: The picture's path inside the training set, without suffix.
        text: The caption.
        image: The target picture's file.
        conditioning_image: The conditioning image's file.
        image_sha256: Digest of the target picture's file.
        placement: Brings both, and the boxes, to the size they are trained at.
        boxes: Quads of the legends, in pixels of the training picture.
        texts: What they say; none where the row does not say it of each quad.
    """

    id: str
    text: str
    image: Path
    conditioning_image: Path
    image_sha256: str
    placement: Placement
    boxes: tuple[Any, ...]
    texts: tuple[str, ...] = ()

    @property
    def size_px(self) -> Size:
        """Width and height of the training picture."""
        return self.placement.size

    def read_picture(self) -> Pixels:
        """Read the training picture, uint8 RGB, (H, W, 3)."""
        return self.placement.place_picture(_read_rgb(self.image))

    def read_conditioning(self) -> Pixels:
        """Read the conditioning image of the training picture, uint8 RGB, (H, W, 3)."""
        return self.placement.place_lines(_read_rgb(self.conditioning_image))


@dataclass(frozen=True)
class TrainingSet:
    """The rows of a published training set.

    Attributes:
        train: Rows of train.jsonl, in its order.
        validation: Rows of validation.jsonl, in its order; may be empty.
        content_sha256: Digest of all rows and all files they name.
    """

    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    content_sha256: str


def read_training_set(folder: Path, parameters: TrainParameters) -> TrainingSet:
    """Read a published training set and plan how its pictures are brought to their sizes in training.

    Args:
        folder: Holds train.jsonl, perhaps validation.jsonl, and the pictures they name, of any sizes.
        parameters: ``resolution_px``, ``bucket_step_px``, ``crop_px`` and ``original_size`` count.

    Returns:
        Its rows with the digest of their contents.

    Raises:
        InputError: A file is missing or unreadable, a column is missing, a conditioning image has other
            proportions than its picture, a picture cannot be cropped to ``crop_px``, or train.jsonl is empty.
    """
    contents: list[object] = []
    splits = {}
    for split in ("train", "validation"):
        rows = _read_rows(folder / f"{split}.jsonl", required=split == "train")
        samples = []
        for number, row in enumerate(rows, 1):
            where = f"{split}.jsonl, line {number}"
            sample, conditioning_sha256 = _read_sample(folder, row, where, parameters)
            samples.append(sample)
            contents.append([split, row, sample.image_sha256, conditioning_sha256])
        splits[split] = tuple(samples)
    if not splits["train"]:
        raise InputError(f"'{folder / 'train.jsonl'}' has no rows. Run `kedro run --pipeline=data_prep`.")
    _log_sizes(splits["train"])
    _warn_of_small_legends(splits["train"], parameters.model_base)
    return TrainingSet(splits["train"], splits["validation"], json_digest(contents))


def read_placed_legends(
    folder: Path, parameters: TrainParameters
) -> list[tuple[tuple[Any, ...], tuple[str, ...]]]:
    """Read where legends lie in the training pictures and what they say; of pictures only their sizes.

    Args:
        folder: Holds train.jsonl and the pictures it names.
        parameters: As for :func:`read_training_set`.

    Returns:
        For each row its quads in pixels of the training picture, and their strings.

    Raises:
        InputError: As for :func:`read_training_set`.
    """
    legends = []
    for number, row in enumerate(_read_rows(folder / "train.jsonl", required=True), 1):
        where = f"train.jsonl, line {number}"
        placement = _place(row, _size_of(folder / row["image"], where), parameters)
        legends.append(_place_legends(row, placement, where, parameters))
    return legends


def _log_sizes(samples: Sequence[Sample]) -> None:
    """Say at which sizes pictures are trained, how many are resized for it, and what that costs at worst."""
    counts = Counter(sample.size_px for sample in samples)
    listed = ", ".join(f"{count} of {width}x{height}" for (width, height), count in sorted(counts.items()))
    num_resized = sum(sample.placement.source_size != sample.size_px for sample in samples)
    worst = max(samples, key=lambda sample: sample.placement.cut_share)
    logger.info(
        "Training pictures: %s; %d of them resized for it, which cuts off %.1f %% at most (of '%s').",
        listed,
        num_resized,
        100 * worst.placement.cut_share,
        worst.id,
    )


def _warn_of_small_legends(samples: Sequence[Sample], base_model: str) -> None:
    """Say if legends are lower than what the base model's autoencoder keeps readable."""
    legends: list[tuple[str, float]] = []
    for sample in samples:
        heights = quad_sizes(sample.boxes)[:, 1].tolist()
        legends += zip(sample.texts or [""] * len(heights), heights, strict=True)
    warning = small_legends_warning(legends, base_model)
    if warning:
        logger.warning("%s", warning)


def _read_rows(file: Path, required: bool) -> list[dict[str, Any]]:
    if not file.is_file():
        if required:
            raise InputError(
                f"The training set lacks '{file}'. Run `kedro run --pipeline=data_prep`, or check the path."
            )
        return []
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except json.JSONDecodeError as exc:
        raise InputError(f"'{file}' is not JSON lines: {exc}. Publish the training set anew.") from exc


def _read_sample(
    folder: Path, row: Mapping[str, Any], where: str, parameters: TrainParameters
) -> tuple[Sample, str]:
    """Return a row as a sample, and the digest of its conditioning image."""
    missing = {"text", "image", "conditioning_image"} - row.keys()
    if missing:
        raise InputError(f"{where} of the training set lacks {sorted(missing)}; it has {sorted(row)}.")
    image, conditioning_image = folder / row["image"], folder / row["conditioning_image"]
    source_size, conditioning_size = (_size_of(file, where) for file in (image, conditioning_image))
    check_same_shape(source_size, conditioning_size, where)
    placement = _place(row, source_size, parameters)
    if parameters.crop_px is not None and parameters.crop_px > min(placement.size):
        raise InputError(
            f"{where} of the training set is trained at {placement.size[0]}x{placement.size[1]} pixels, of"
            f" which no square of {parameters.crop_px} can be cut. Lower train.crop_px, or set it or"
            " train.bucket_step_px to null."
        )
    boxes, texts = _place_legends(row, placement, where, parameters)
    sample = Sample(
        id=Path(row["image"]).with_suffix("").as_posix(),
        text=row["text"],
        image=image,
        conditioning_image=conditioning_image,
        image_sha256=_file_digest(image),
        placement=placement,
        boxes=boxes,
        texts=texts,
    )
    return sample, _file_digest(conditioning_image)


def _place(row: Mapping[str, Any], source_size: Size, parameters: TrainParameters) -> Placement:
    """Plan a row's way to its size; what it was before counts where it is known and asked for."""
    size = training_size(source_size, parameters.resolution_px, parameters.bucket_step_px)
    raw_size = row.get("original_size_px")
    if parameters.original_size == "resized" or raw_size is None:
        return Placement(source_size, size)
    left, top = row.get("crop_px") or (0, 0)
    return Placement(source_size, size, (raw_size[0], raw_size[1]), (left, top))


def _place_legends(
    row: Mapping[str, Any], placement: Placement, where: str, parameters: TrainParameters
) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Return the quads of the legends that stay whole and, as far as the row tells it, what they say."""
    quads = row.get("box") or ()
    is_read = parameters.text.is_on or parameters.text.measure
    texts = placed_legends(row, where) if is_read else legends_of(row["text"], row.get("legends"))
    if len(texts) != len(quads):
        return tuple(placement.place_quads(quads).tolist()), ()
    placed = [
        (quad, text)
        for one, text in zip(quads, texts, strict=True)
        for quad in placement.place_quads(one).tolist()
    ]
    return tuple(quad for quad, _ in placed), tuple(text for _, text in placed)


def _size_of(file: Path, where: str) -> Size:
    try:
        with Image.open(file) as picture:
            return picture.size
    except (OSError, UnidentifiedImageError) as exc:
        raise InputError(f"{where} of the training set names '{file}', which cannot be read: {exc}.") from exc


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_rgb(path: Path) -> Pixels:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def as_tensor(picture: Pixels) -> Tensor:
    """Return a picture, uint8 (H, W, 3), as floats in [0, 1], (3, H, W)."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255


def read_pixels(path: Path) -> Tensor:
    """Read a picture as RGB (3, H, W), float in [0, 1]."""
    return as_tensor(_read_rgb(path))


class EncodedSamples(Dataset[Batch]):
    """Batches of a training set, made from encoded pictures and captions; indexed by lists of draws."""

    def __init__(
        self,
        samples: Sequence[Sample],
        cache: EncodingCache,
        parameters: TrainParameters,
        num_train_timesteps: int,
    ) -> None:
        """Keep what batches are made of.

        Args:
            samples: What draws index.
            cache: Holds every sample's encodings.
            parameters: Seed, caption dropout, way of drawing timesteps, size of the global batch.
            num_train_timesteps: Length of the noise schedule.
        """
        self._samples = samples
        self._cache = cache
        self._parameters = parameters
        self._num_train_timesteps = num_train_timesteps

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._samples)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Width and height of each sample's part of a batch; a batch can hold one size only."""
        crop_px = self._parameters.crop_px
        return tuple(s.size_px if crop_px is None else (crop_px, crop_px) for s in self._samples)

    def __getitem__(self, draws: list[Draw]) -> Batch:
        """Return the batch of a pass."""
        return join([self._turn(draw) for draw in draws])

    def _turn(self, draw: Draw) -> Batch:
        """Return one picture's turn as a batch of one."""
        p, sample = self._parameters, self._samples[draw.index]
        generator = torch.Generator().manual_seed(seed_of("turn", p.seed, sample.id, draw.epoch, draw.step))
        timestep_share, dropout = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        if p.timestep_sampling == "stratified":
            timestep_share = (draw.slot + timestep_share) / p.train_batch_size
        timestep = timestep_at(timestep_share, p, self._num_train_timesteps)
        turn = encoded_sample(sample, self._cache, timestep, generator, dropout < p.caption_dropout)
        if p.text.is_due(draw.step):
            turn = with_picture(turn, sample)
        if p.crop_px is not None:
            turn = random_crop(turn, p.crop_px, generator)
        is_control_dropped = torch.rand((), generator=generator).item() < p.control_dropout
        turn = without_control(turn) if is_control_dropped else turn
        seed = seed_of("text", p.seed, sample.id, draw.epoch, draw.step)
        return with_legends(turn, p, seed, is_sampled_slot(draw.slot, p.text.sampled_share))


def encoded_sample(
    sample: Sample, cache: EncodingCache, timestep: int, generator: torch.Generator, is_caption_dropped: bool
) -> Batch:
    """Return one sample at one timestep as a batch of one.

    Args:
        sample: The row.
        cache: Holds its encodings.
        timestep: Of the noise schedule.
        generator: Noise is drawn from it: first the latents', then the one to be predicted.
        is_caption_dropped: Use the base model's form of no prompt.
    """
    images = cache.load_images(sample.image_sha256, sample.size_px)
    text = cache.load_no_text() if is_caption_dropped else cache.load_text(sample.text)
    latents = images.mean + images.std * torch.randn(images.mean.shape, generator=generator)
    return Batch(
        sample_ids=(sample.id,),
        latents=latents,
        noise=torch.randn(latents.shape, generator=generator),
        timesteps=torch.tensor([timestep]),
        conditioning_pixel_values=as_tensor(sample.read_conditioning())[None],
        prompt_embeds=text.prompt_embeds,
        pooled_prompt_embeds=text.pooled_prompt_embeds,
        sizes=torch.tensor([sample.placement.time_ids()]),
        boxes=(sample.boxes,),
        texts=(sample.texts,),
    )


def with_picture(batch: Batch, sample: Sample) -> Batch:
    """Return a batch of one with its real picture, which what the model makes of it is compared with."""
    return replace(batch, pixel_values=as_tensor(sample.read_picture())[None] * 2 - 1)


def with_legends(batch: Batch, parameters: TrainParameters, seed: int, is_sampled: bool) -> Batch:
    """Return a batch of one with the legends that its turn is judged by; none without its real picture.

    Args:
        batch: One sample, cropped.
        parameters: How legends are chosen.
        seed: Of this turn.
        is_sampled: Whether the model is to sample this picture.
    """
    if batch.pixel_values is None:
        return batch
    legends = choose_legends(batch.texts[0], batch.boxes[0], parameters.text, seed, is_sampled)
    return replace(batch, legends=(legends,))


def random_crop(batch: Batch, side_px: int, generator: torch.Generator) -> Batch:
    """Cut one square out of a batch of one: latents, noise, conditioning image and boxes alike.

    Args:
        batch: One sample, whole.
        side_px: Side of the square in pixels, a multiple of the latent cell.
        generator: The corner is drawn from it, at whole latent cells.

    Returns:
        The crop. Its sizes say where in the picture it lies, as SDXL was trained to be told; legends that it
        does not hold whole are left out of its boxes.
    """
    height, width = batch.conditioning_pixel_values.shape[-2:]
    cell = height // batch.latents.shape[-2]
    top, left = (
        cell * int(torch.randint((extent - side_px) // cell + 1, (), generator=generator))
        for extent in (height, width)
    )

    def cut(tensor: Tensor, unit: int) -> Tensor:
        rows = slice(top // unit, (top + side_px) // unit)
        return tensor[..., rows, slice(left // unit, (left + side_px) // unit)]

    original_height, original_width, top_before, left_before = batch.sizes[0, :4].tolist()
    quads = np.asarray(batch.boxes[0], dtype=float).reshape(-1, 4, 2) - (left, top)
    is_whole = quads_inside(quads, (side_px, side_px))
    return replace(
        batch,
        latents=cut(batch.latents, cell),
        noise=cut(batch.noise, cell),
        conditioning_pixel_values=cut(batch.conditioning_pixel_values, 1),
        sizes=torch.tensor(
            [[original_height, original_width, top_before + top, left_before + left, side_px, side_px]]
        ),
        boxes=(tuple(quads[is_whole].tolist()),),
        texts=tuple(tuple(compress(texts, is_whole)) for texts in batch.texts),
        pixel_values=None if batch.pixel_values is None else cut(batch.pixel_values, 1),
    )


def without_control(batch: Batch) -> Batch:
    """Return a batch with blank conditioning images, and without boxes: where legends lie is control too."""
    blank = torch.zeros_like(batch.conditioning_pixel_values)
    none = ((),) * len(batch.boxes)
    return replace(batch, conditioning_pixel_values=blank, boxes=none, texts=none)


def join(batches: Sequence[Batch]) -> Batch:
    """Return several batches as one."""

    def cat(name: str) -> Tensor:
        return torch.cat([getattr(batch, name) for batch in batches])

    return Batch(
        sample_ids=tuple(name for batch in batches for name in batch.sample_ids),
        latents=cat("latents"),
        noise=cat("noise"),
        timesteps=cat("timesteps"),
        conditioning_pixel_values=cat("conditioning_pixel_values"),
        prompt_embeds=cat("prompt_embeds"),
        pooled_prompt_embeds=cat("pooled_prompt_embeds"),
        sizes=cat("sizes"),
        boxes=tuple(boxes for batch in batches for boxes in batch.boxes),
        texts=tuple(texts for batch in batches for texts in batch.texts),
        legends=tuple(legends for batch in batches for legends in batch.legends),
        pixel_values=cat("pixel_values") if batches[0].pixel_values is not None else None,
    )
