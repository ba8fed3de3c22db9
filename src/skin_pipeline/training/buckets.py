"""What size a picture is trained at, and the one transform that brings all of it there. Loads no torch.

A training set may hold pictures of any sizes. Each is brought to the bucket nearest to its own proportions
(see :func:`skin_pipeline.geometry.bucket_sizes`) or, without buckets, to a square: enlarged or shrunk until
it covers that size, and what sticks out is cut off evenly at two opposite edges. A picture that has its
bucket's size already is not touched.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skin_pipeline.errors import InputError
from skin_pipeline.geometry import (
    Fit,
    FloatArray,
    Size,
    apply_affine,
    as_quads,
    clip_quads,
    compose_affine,
    nearest_bucket,
    plan_fit,
    quads_inside,
    scale_and_shift,
)
from skin_pipeline.prep.resize import resample, resize_lines

Pixels = NDArray[np.uint8]

_OUTSIDE_TOLERANCE_PX = 1.0
"""How far a legend's quad may lie outside its picture and not count as cut off; it is then moved inside."""


@dataclass(frozen=True)
class Placement:
    """How one row of a training set is brought to the size that it is trained at.

    Attributes:
        source_size: Width and height of the stored picture.
        size: Width and height in training.
        raw_size: Width and height of the picture before the training set was prepared, if that is to be told
            to the model; None: the stored picture counts as the original.
        cut: How much of the raw picture was cut off at the left and at the top, in stored pixels.
    """

    source_size: Size
    size: Size
    raw_size: Size | None = None
    cut: tuple[int, int] = (0, 0)

    @property
    def fit(self) -> Fit:
        """Which part of the stored picture fills the training picture."""
        return plan_fit("crop", self.source_size, self.size)

    @property
    def cut_share(self) -> float:
        """Share of the stored picture that is cut off."""
        window, (width, height) = self.fit.source, self.source_size
        return 1 - window.width * window.height / (width * height)

    def place_picture(self, picture: Pixels) -> Pixels:
        """Bring the picture (H, W, 3) over: shrunk by area averages, enlarged by bicubic interpolation."""
        return resample(picture[self.fit.source.slices], self.size)

    def place_lines(self, lines: Pixels) -> Pixels:
        """Bring a conditioning image (h, w, 3), of whatever size, over; without blur, see `resize_lines`."""
        height, width = lines.shape[:2]
        to_picture = scale_and_shift((self.source_size[0] / width, self.source_size[1] / height), (0, 0))
        return resize_lines(lines, compose_affine(self.fit.matrix, to_picture), self.size)

    def place_quads(self, quads: ArrayLike) -> FloatArray:
        """Bring quads (N, 4, 2) in stored pixels over, but for those that the crop does not leave whole."""
        placed = apply_affine(self.fit.matrix, as_quads(quads))
        inside = quads_inside(placed, self.size, _OUTSIDE_TOLERANCE_PX)
        return clip_quads(placed[inside], self.size)

    def time_ids(self) -> tuple[int, int, int, int, int, int]:
        """Return SDXL's size conditions: original (H, W), crop (top, left), target (H, W).

        Crop coordinates count pixels of the resized picture, as in SDXL's training (Podell et al. 2023,
        section 2.2), and include what was cut off before. Where the stored picture counts as the original, so
        does the size it would have at the training picture's scale: nothing but a crop is then told.
        """
        (scale_x, _, shift_x), (_, scale_y, shift_y) = self.fit.matrix.tolist()
        left, top = round(scale_x * self.cut[0] - shift_x), round(scale_y * self.cut[1] - shift_y)
        whole = round(scale_x * self.source_size[0]), round(scale_y * self.source_size[1])
        width, height = self.raw_size or whole
        return height, width, top, left, self.size[1], self.size[0]


def training_size(source_size: Size, resolution_px: int, bucket_step_px: int | None) -> Size:
    """Return the size that a picture is trained at.

    Args:
        source_size: Its width and height.
        resolution_px: Side of a square training picture.
        bucket_step_px: Sides of other shapes are multiples of this; None: all are squares.
    """
    if bucket_step_px is None:
        return resolution_px, resolution_px
    return nearest_bucket(source_size, resolution_px, bucket_step_px)


def check_same_shape(picture: Size, conditioning: Size, where: str) -> None:
    """Check that a conditioning image, perhaps of another size, shows its whole picture.

    The proportions may differ by what rounding to whole pixels explains: with the heights made equal the
    widths, or with the widths made equal the heights, agree within one pixel of the smaller of the two.

    Raises:
        InputError: They differ by more.
    """
    difference = abs(picture[0] * conditioning[1] - picture[1] * conditioning[0])
    if difference > max(*picture, *conditioning):
        raise InputError(
            f"{where} of the training set: the picture has {picture[0]}x{picture[1]} pixels and its"
            f" conditioning image {conditioning[0]}x{conditioning[1]}, which are other proportions. Expected"
            " the same proportions within a pixel: make the conditioning image from the whole picture."
        )
