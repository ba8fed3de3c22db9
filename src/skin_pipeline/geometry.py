"""Quads, boxes and the affine maps that carry them from one picture's frame into another's.

Convention:
    * A point is ``(x, y)`` in pixels, x to the right, y down, in *continuous* coordinates: a picture W wide
      spans ``[0, W]`` and the centre of its first pixel lies at 0.5.
    * A quad is a float array of shape (4, 2): top left, top right, bottom right, bottom left *of the thing it
      surrounds* (the text's own top left, also where the text is rotated).
    * A box is axis-aligned: ``x_min, y_min, x_max, y_max``.
    * A size is ``(width, height)``.
    * An affine matrix is a float array of shape (2, 3) that maps column vectors from the source frame to the
      target frame: ``target = matrix[:, :2] @ source + matrix[:, 2]``.

With continuous coordinates, resizing W pixels to W' is the pure scale W'/W. ``cv2.resize`` and Pillow agree:
both align the outer edges of the pictures, not the centres of the corner pixels.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skin_pipeline.errors import InputError

FloatArray = NDArray[np.float64]
Size = tuple[int, int]
FitMode = Literal["stretch", "crop", "pad"]

IDENTITY: FloatArray = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
IDENTITY.setflags(write=False)

TALL = 1.5
"""A quad at least this many times as high as wide holds text that runs downwards, as text readers see it."""


def as_quads(values: ArrayLike) -> FloatArray:
    """Return values as a float array of quads.

    Args:
        values: Anything of shape (N, 4, 2), (4, 2) for a single quad, or empty.

    Returns:
        Array of shape (N, 4, 2); (0, 4, 2) if there are none.

    Raises:
        InputError: Another shape, or a coordinate that is not finite.
    """
    quads = np.asarray(values, dtype=np.float64)
    if quads.size == 0:
        return np.zeros((0, 4, 2))
    if quads.shape == (4, 2):
        quads = quads[None]
    if quads.ndim != 3 or quads.shape[1:] != (4, 2):
        raise InputError(f"Quads must have the shape (N, 4, 2): four corners (x, y) each. Got {quads.shape}.")
    if not np.isfinite(quads).all():
        raise InputError("Quads must be finite, got a corner that is NaN or infinite.")
    return quads


def order_corners(points: ArrayLike) -> FloatArray:
    """Order four corners as top left, top right, bottom right, bottom left, as seen in the picture.

    The corners are walked clockwise (y points down) and the walk starts at the one nearest to the top left,
    the smallest ``x + y``. A quad rotated by more than 45 degrees is therefore read as if it stood upright;
    where the direction of the text is known, keep the detector's own order instead.

    Args:
        points: Array of shape (4, 2), corners of a convex quad in any order.

    Returns:
        Array of shape (4, 2).
    """
    corners = as_quads(points)[0]
    offsets = corners - corners.mean(axis=0)
    clockwise = corners[np.argsort(np.arctan2(offsets[:, 1], offsets[:, 0]), kind="stable")]
    start = int(np.argmin(clockwise.sum(axis=1)))
    return np.roll(clockwise, -start, axis=0)


def boxes_of(quads: ArrayLike) -> FloatArray:
    """Return the smallest box around each quad: (N, 4, 2) -> (N, 4) as ``x_min, y_min, x_max, y_max``."""
    corners = as_quads(quads)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def quads_of(boxes: ArrayLike) -> FloatArray:
    """Return boxes (N, 4) as quads (N, 4, 2), clockwise from the top left."""
    x_min, y_min, x_max, y_max = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
    return np.stack([x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max], axis=1).reshape(-1, 4, 2)


def quad_sizes(quads: ArrayLike) -> FloatArray:
    """Return each quad's own width and height: the mean length of opposite sides, in pixels, (N, 2)."""
    corners = as_quads(quads)
    sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)  # top, right, bottom, left
    return np.stack([(sides[:, 0] + sides[:, 2]) / 2, (sides[:, 1] + sides[:, 3]) / 2], axis=1)


def draw_in(quads: FloatArray, inset: float) -> FloatArray:
    """Move the sides of quads inwards, or outwards.

    Args:
        quads: (N, 4, 2).
        inset: In units of each quad's shorter side, below 0.5; outwards below 0.

    Returns:
        (N, 4, 2).
    """
    if not len(quads):
        return quads
    sizes = np.maximum(quad_sizes(quads), 1e-6)
    shares = inset * sizes.min(axis=1, keepdims=True) / sizes  # of width and height
    across = (quads[:, 1] - quads[:, 0]) * shares[:, :1], (quads[:, 2] - quads[:, 3]) * shares[:, :1]
    down = (quads[:, 3] - quads[:, 0]) * shares[:, 1:], (quads[:, 2] - quads[:, 1]) * shares[:, 1:]
    moves = [across[0] + down[0], -across[0] + down[1], -across[1] - down[1], across[1] - down[0]]
    drawn_in: FloatArray = quads + np.stack(moves, axis=1)
    return drawn_in


def runs_downwards(quad: FloatArray, text: str) -> bool:
    """Tell whether a quad's text runs downwards: several characters in a tall quad.

    Args:
        quad: (4, 2); the text's own top left is then the quad's top right corner.
        text: What is written there.
    """
    width, height = quad_sizes(quad)[0]
    return bool(len(text) > 1 and height >= TALL * width)


def quad_areas(quads: ArrayLike) -> FloatArray:
    """Return the signed area of each quad in square pixels; positive if its corners run clockwise, (N,)."""
    corners = as_quads(quads)
    following = np.roll(corners, -1, axis=1)
    cross = corners[..., 0] * following[..., 1] - corners[..., 1] * following[..., 0]
    areas: FloatArray = cross.sum(axis=1) / 2
    return areas


def quads_inside(quads: ArrayLike, size: Size, tolerance_px: float = 0.0) -> NDArray[np.bool_]:
    """Say for each quad whether all its corners lie in the picture.

    Args:
        quads: Quads, (N, 4, 2).
        size: Width and height of the picture in pixels.
        tolerance_px: How far a corner may lie outside.

    Returns:
        Booleans, (N,).
    """
    corners = as_quads(quads)
    low, high = -tolerance_px, np.asarray(size, dtype=np.float64) + tolerance_px
    return np.asarray(((corners >= low) & (corners <= high)).all(axis=(1, 2)))


def clip_quads(quads: ArrayLike, size: Size) -> FloatArray:
    """Move corners that lie outside the picture onto its edge, (N, 4, 2)."""
    clipped: FloatArray = np.clip(as_quads(quads), 0.0, np.asarray(size, dtype=np.float64))
    return clipped


def scale_and_shift(scale: tuple[float, float], shift: tuple[float, float]) -> FloatArray:
    """Return the matrix of ``x' = scale_x * x + shift_x``, likewise for y."""
    return np.array([[scale[0], 0.0, shift[0]], [0.0, scale[1], shift[1]]])


def compose_affine(outer: ArrayLike, inner: ArrayLike) -> FloatArray:
    """Return the matrix that applies ``inner`` first and ``outer`` to its result."""
    first, second = _as_affine(inner), _as_affine(outer)
    linear = second[:, :2] @ first[:, :2]
    shift = second[:, :2] @ first[:, 2] + second[:, 2]
    return np.concatenate([linear, shift[:, None]], axis=1)


def invert_affine(matrix: ArrayLike) -> FloatArray:
    """Return the matrix of the way back.

    Raises:
        InputError: The matrix maps the plane onto a line or a point.
    """
    forward = _as_affine(matrix)
    if abs(float(np.linalg.det(forward[:, :2]))) < np.finfo(np.float64).tiny:
        raise InputError(f"This affine matrix has no inverse: {forward.tolist()}.")
    linear = np.linalg.inv(forward[:, :2])
    return np.concatenate([linear, (-linear @ forward[:, 2])[:, None]], axis=1)


def apply_affine(matrix: ArrayLike, points: ArrayLike) -> FloatArray:
    """Map points of any leading shape: (..., 2) -> (..., 2)."""
    forward = _as_affine(matrix)
    coordinates = np.asarray(points, dtype=np.float64)
    mapped: FloatArray = coordinates @ forward[:, :2].T + forward[:, 2]
    return mapped


def _as_affine(matrix: ArrayLike) -> FloatArray:
    affine = np.asarray(matrix, dtype=np.float64)
    if affine.shape != (2, 3):
        raise InputError(f"An affine matrix has the shape (2, 3), got {affine.shape}.")
    return affine


@dataclass(frozen=True)
class Window:
    """A rectangle of whole pixels inside a picture."""

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array of shape (H, W, ...)."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclass(frozen=True)
class Fit:
    """How a picture is brought to another size: one window of the source fills one window of the target.

    Both windows are whole pixels, so the matrix says exactly what happened to every pixel.
    """

    source: Window
    target: Window

    @property
    def matrix(self) -> FloatArray:
        """The affine matrix from source coordinates to target coordinates, (2, 3)."""
        scale_x = self.target.width / self.source.width
        scale_y = self.target.height / self.source.height
        shift_x = self.target.left - scale_x * self.source.left
        shift_y = self.target.top - scale_y * self.source.top
        return scale_and_shift((scale_x, scale_y), (shift_x, shift_y))


def plan_fit(mode: FitMode, source_size: Size, target_size: Size) -> Fit:
    """Choose the windows by which a picture of one size becomes one of another.

    Args:
        mode: ``stretch`` uses all of both; ``crop`` keeps the proportions and cuts the middle out of the
            source; ``pad`` keeps the proportions and puts the whole source into the middle of the target.
        source_size: Width and height in pixels.
        target_size: Width and height in pixels.

    Returns:
        The two windows. Sizes are rounded to whole pixels, so the two scales of ``crop`` and ``pad`` may
        differ by up to half a pixel over the picture.
    """
    whole_source, whole_target = Window(0, 0, *source_size), Window(0, 0, *target_size)
    if mode == "crop":
        return Fit(_middle(source_size, target_size), whole_target)
    if mode == "pad":
        return Fit(whole_source, _middle(target_size, source_size))
    return Fit(whole_source, whole_target)


def _middle(frame: Size, proportions: Size) -> Window:
    """Return the largest window of the given proportions in the middle of a frame."""
    scale = min(frame[0] / proportions[0], frame[1] / proportions[1])
    width = min(frame[0], max(1, round(proportions[0] * scale)))
    height = min(frame[1], max(1, round(proportions[1] * scale)))
    return Window((frame[0] - width) // 2, (frame[1] - height) // 2, width, height)


# --- buckets ------------------------------------------------------------------------------------------


def bucket_sizes(resolution_px: int, step_px: int) -> list[Size]:
    """List the sizes that pictures of any proportions are brought to for training.

    SDXL was trained on pictures of about 1024 x 1024 pixels in many shapes, 512x2048 to 2048x512, each side a
    multiple of 64 (Podell et al. 2023, section 2.3 and appendix I). These are the sizes of that kind that
    hold no more pixels than the square, as kohya-ss/sd-scripts makes them: for every long side that is a
    multiple of the step, up to twice the square's, the longest short side that fits; lying and standing. The
    square itself is always one, whatever its side.

    Args:
        resolution_px: Side of the square.
        step_px: Sides of all others are multiples of this.

    Returns:
        Widths and heights, from the narrowest to the widest; no size needs more memory than the square.
    """
    sizes = {(resolution_px, resolution_px)}
    for long_px in range(math.ceil(resolution_px / step_px) * step_px, 2 * resolution_px + 1, step_px):
        short_px = resolution_px**2 // long_px // step_px * step_px
        if short_px:
            sizes |= {(long_px, short_px), (short_px, long_px)}
    return sorted(sizes, key=lambda size: (size[0] / size[1], size))


def nearest_bucket(size: Size, resolution_px: int, step_px: int) -> Size:
    """Return the bucket whose proportions are nearest to a picture's.

    Near is measured in the logarithm of width over height, so that a picture and the same one turned by a
    quarter get the same bucket, turned by a quarter. Of equally near ones the larger is taken.

    Args:
        size: Width and height of the picture.
        resolution_px: See :func:`bucket_sizes`.
        step_px: See :func:`bucket_sizes`.
    """
    width, height = size

    def distance(bucket: Size) -> tuple[float, int, Size]:
        ratio = (width * bucket[1]) / (height * bucket[0])
        return round(abs(math.log(ratio)), 12), -bucket[0] * bucket[1], bucket

    return min(bucket_sizes(resolution_px, step_px), key=distance)
