"""Bring skins to the training size, and record how: what is found in one frame maps to the other."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from skin_pipeline.geometry import (
    Fit,
    FitMode,
    FloatArray,
    Size,
    nearest_bucket,
    plan_fit,
)
from skin_pipeline.items import Output, Rejection, Task, Worker
from skin_pipeline.prep.pictures import RGBPicture, read_picture
from skin_pipeline.schemas import Parameters

VAE_FACTOR = 8


class ResizeParameters(Parameters):
    """To what size, and how, skins are brought."""

    size_px: int = Field(default=512, ge=64, le=4096)
    """Width and height of the resized skin in pixels; a multiple of 8. With ``fit: bucket``, those of a
    square skin; others hold as many pixels, or a few less."""

    fit: FitMode | Literal["bucket"] = "stretch"
    """``bucket`` keeps the proportions: a skin gets the size of :func:`skin_pipeline.geometry.bucket_sizes`
    that is nearest to its own shape, and the little that sticks out is cut off. The others make squares:
    ``stretch`` changes the proportions; ``crop`` cuts off what is beside the middle square; ``pad`` adds
    borders in the colour of the skin's own."""

    bucket_step_px: int = Field(default=64, ge=32, multiple_of=32)
    """With ``fit: bucket``: sides are multiples of this. A smaller step cuts off less and makes more sizes,
    of which each batch of training can hold one only."""

    num_workers: int = Field(default=1, ge=1)
    """Processes that resize at the same time."""

    def item_parameters(self) -> dict[str, Any]:
        """Return the parameters that change the picture, as JSON, for ``Plan.parameters``."""
        idle = {"num_workers"} if self.fit == "bucket" else {"num_workers", "bucket_step_px"}
        return self.model_dump(mode="json", exclude=idle)

    def target(self, source_size: Size) -> tuple[Size, FitMode]:
        """Return the size that a picture gets, and how it is fitted into it."""
        if self.fit == "bucket":
            return nearest_bucket(source_size, self.size_px, self.bucket_step_px), "crop"
        return (self.size_px, self.size_px), self.fit

    @field_validator("size_px")
    @classmethod
    def _fits_the_vae(cls, size_px: int) -> int:
        if size_px % VAE_FACTOR:
            raise ValueError(
                f"resize.size_px must be a multiple of {VAE_FACTOR} (the VAE downsamples by {VAE_FACTOR}), "
                f"got {size_px}."
            )
        return size_px


def make_resizer(parameters: ResizeParameters) -> Worker:
    """Build the worker that resizes screened skins, the source ``screened_skins``."""
    return partial(_resize_batch, parameters)


def _resize_batch(parameters: ResizeParameters, tasks: Sequence[Task]) -> list[Output | Rejection]:
    return [_resize_task(task, parameters) for task in tasks]


def _resize_task(task: Task, parameters: ResizeParameters) -> Output:
    path = task.inputs["screened_skins"].path
    assert path is not None, "a screened skin points at its raw file"
    picture = read_picture(path)
    source_size = (picture.shape[1], picture.shape[0])
    size, mode = parameters.target(source_size)
    resized, fit = resize_skin(picture, size, mode)
    record = {
        "fit": parameters.fit,
        "source_size_px": list(source_size),
        "size_px": list(size),
        "matrix": fit.matrix.tolist(),
    }
    return Output(record, resized)


def resize_skin(picture: RGBPicture, size: Size, mode: FitMode) -> tuple[RGBPicture, Fit]:
    """Resize a picture.

    Args:
        picture: uint8 RGB, (H, W, 3).
        size: Width and height of the result in pixels.
        mode: See :func:`skin_pipeline.geometry.plan_fit`.

    Returns:
        The resized picture, uint8 RGB, and the windows by which it was made; ``fit.matrix`` maps points.
    """
    fit = plan_fit(mode, (picture.shape[1], picture.shape[0]), size)
    content = resample(picture[fit.source.slices], (fit.target.width, fit.target.height))
    if (fit.target.width, fit.target.height) == size:
        return content, fit
    canvas = np.empty((size[1], size[0], 3), dtype=np.uint8)
    canvas[:] = _border_colour(content)
    canvas[fit.target.slices] = content
    return canvas, fit


def resample(picture: RGBPicture, size: Size) -> RGBPicture:
    """Shrink by area averages, enlarge by bicubic interpolation; each axis as it needs."""
    height, width = picture.shape[:2]
    shrunk_size = (min(width, size[0]), min(height, size[1]))
    if shrunk_size != (width, height):
        picture = cv2.resize(picture, shrunk_size, interpolation=cv2.INTER_AREA)
    if shrunk_size != size:
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(picture)


def _border_colour(picture: RGBPicture) -> RGBPicture:
    """Return the median colour of the outermost pixels, (3,)."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    colour: RGBPicture = np.median(border, axis=0).astype(np.uint8)
    return colour


def resize_lines(lines: NDArray[np.uint8], matrix: FloatArray, size: Size) -> NDArray[np.uint8]:
    """Bring edges, or any light drawing on black, to another frame without blur.

    Every value of the result is one of the source: a picture of two values keeps two. Where an axis shrinks,
    each source pixel belongs to the one target pixel that its centre falls into, and the brightest wins, so
    a line of one pixel stays and does not widen. Where an axis grows, a target pixel takes the source pixel
    that its centre lies in.

    Args:
        lines: uint8, (H, W) or (H, W, C).
        matrix: Maps the source frame to the target's, scales and shifts only, (2, 3).
        size: Width and height of the target; the source must cover all of it.

    Returns:
        uint8, (height, width) or (height, width, C); drawn within half a pixel of where the matrix says.
    """
    rows = _resize_axis(lines, 0, matrix[1, 1], matrix[1, 2], size[1])
    return np.ascontiguousarray(_resize_axis(rows, 1, matrix[0, 0], matrix[0, 2], size[0]))


def _resize_axis(
    lines: NDArray[np.uint8], axis: int, scale: float, shift: float, length: int
) -> NDArray[np.uint8]:
    """Bring one axis from its own coordinates to ``scale * x + shift``; see :func:`resize_lines`."""
    source_length = lines.shape[axis]
    if (scale, shift, length) == (1, 0, source_length):
        return lines
    if scale >= 1:
        nearest = np.floor((np.arange(length) + 0.5 - shift) / scale).astype(int)
        enlarged: NDArray[np.uint8] = lines.take(nearest.clip(0, source_length - 1), axis)
        return enlarged
    owner = np.floor((np.arange(source_length) + 0.5) * scale + shift)
    *starts, end = np.searchsorted(owner, np.arange(length + 1))
    shown = lines[:end] if axis == 0 else lines[:, :end]
    pooled: NDArray[np.uint8] = np.maximum.reduceat(shown, starts, axis)
    return pooled
