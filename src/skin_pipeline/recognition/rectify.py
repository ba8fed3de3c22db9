"""Legends cut out of a picture and straightened for the recogniser, with a gradient to the picture.

The same picture as the text reader's crops (:func:`skin_pipeline.recognition.crops.straighten`, then PP-OCR's
resizing), from tensors.

Convention:
    * Quads are those of :mod:`skin_pipeline.geometry`: TL TR BR BL, each (x, y) in pixels, the centre of a
      picture's first pixel at 0.5. ``grid_sample`` with ``align_corners=False`` has the same frame, [-1, 1]
      for [0, W].
    * A crop is as wide and high as its quad's sides on average, and then scaled to a height of 48.

Shapes: N crops, H W pixels of a picture, h w of a crop in its own size.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from skin_pipeline.geometry import FloatArray, as_quads, quad_sizes
from skin_pipeline.recognition.torch_recognizer import CROP_HEIGHT_PX


def rectify(picture: Tensor, quad: FloatArray, is_turned: bool) -> Tensor:
    """Cut a quad out of a picture as the recogniser reads it: straightened, 48 pixels high.

    Args:
        picture: (3, H, W).
        quad: (4, 2), in pixels of the picture. What lies outside the picture repeats its edge.
        is_turned: Whether the text runs downwards, so that the crop is turned by a quarter, anticlockwise.

    Returns:
        (3, 48, w).
    """
    crop = straighten(picture, quad)
    return to_reading_height(torch.rot90(crop, 1, (1, 2)) if is_turned else crop)


def pad_crops(crops: Sequence[Tensor], width_px: int) -> tuple[Tensor, Tensor]:
    """Pad crops (3, 48, w) at the right with 0, mid grey, as PP-OCR pads.

    Args:
        crops: N crops.
        width_px: Width to pad to, at least that of the widest.

    Returns:
        The crops (N, 3, 48, width_px), and their own widths (N,), int64.
    """
    widths = torch.tensor([crop.shape[-1] for crop in crops], dtype=torch.int64)
    padded = torch.stack([F.pad(crop, (0, width_px - crop.shape[-1])) for crop in crops])
    return padded, widths.to(padded.device)


def straighten(picture: Tensor, quad: FloatArray) -> Tensor:
    """Cut a quad out of a picture as an upright rectangle of its own size, by bicubic interpolation.

    Args:
        picture: (3, H, W).
        quad: (4, 2).

    Returns:
        (3, h, w), at least one pixel a side.
    """
    width, height = (max(1, round(float(length))) for length in quad_sizes(quad)[0])
    to_picture = homography(
        np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64), as_quads(quad)[0]
    )
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    mapped = np.stack([x, y, np.ones_like(x)], axis=-1) @ to_picture.T
    points = mapped[..., :2] / mapped[..., 2:]
    scale = 2 / np.array([picture.shape[-1], picture.shape[-2]])
    grid = torch.from_numpy(points * scale - 1).to(picture)
    return F.grid_sample(
        picture[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False
    )[0]


def to_reading_height(crop: Tensor) -> Tensor:
    """Scale a crop (3, h, w) to 48 pixels in height, bilinearly, its width in proportion."""
    width = math.ceil(CROP_HEIGHT_PX * crop.shape[-1] / crop.shape[-2])
    size = (CROP_HEIGHT_PX, width)
    return F.interpolate(crop[None], size=size, mode="bilinear", align_corners=False)[0]


def homography(source: FloatArray, target: FloatArray) -> FloatArray:
    """Return the matrix (3, 3) that maps four points onto four others, in homogeneous coordinates.

    The eight equations of Hartley & Zisserman 2004, section 4.1, with the last entry set to 1.

    Args:
        source: (4, 2), no three of them on a line.
        target: (4, 2).
    """
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    entries = np.linalg.solve(np.asarray(rows), np.asarray(values))
    return np.append(entries, 1.0).reshape(3, 3)
