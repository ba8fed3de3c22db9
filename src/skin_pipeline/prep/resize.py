"""Bring skins to the training size, and record how: what is found in one frame maps to the other."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
from pydantic import Field, field_validator

from skin_pipeline.geometry import Fit, FitMode, Size, plan_fit
from skin_pipeline.items import Output, Rejection, Task, Worker
from skin_pipeline.prep.pictures import RGBPicture, read_picture
from skin_pipeline.schemas import Parameters

VAE_FACTOR = 8


class ResizeParameters(Parameters):
    """To what size, and how, skins are brought."""

    size_px: int = Field(default=512, ge=64, le=4096)
    """Width and height of the resized skin in pixels; a multiple of 8."""

    fit: FitMode = "stretch"
    """``stretch`` changes the proportions; ``crop`` cuts off what is beside the middle square; ``pad`` adds
    borders in the colour of the skin's own."""

    num_workers: int = Field(default=1, ge=1)
    """Processes that resize at the same time."""

    def item_parameters(self) -> dict[str, Any]:
        """Return the parameters that change the picture, as JSON, for ``Plan.parameters``."""
        return self.model_dump(mode="json", exclude={"num_workers"})

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
    resized, fit = resize_skin(picture, (parameters.size_px, parameters.size_px), parameters.fit)
    record = {
        "fit": parameters.fit,
        "source_size_px": [picture.shape[1], picture.shape[0]],
        "size_px": [parameters.size_px, parameters.size_px],
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
    content = _resample(picture[fit.source.slices], (fit.target.width, fit.target.height))
    if (fit.target.width, fit.target.height) == size:
        return content, fit
    canvas = np.empty((size[1], size[0], 3), dtype=np.uint8)
    canvas[:] = _border_colour(content)
    canvas[fit.target.slices] = content
    return canvas, fit


def _resample(picture: RGBPicture, size: Size) -> RGBPicture:
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
