"""Taking away what was drawn where a legend belongs, and what it looked like.

The face beneath a legend is guessed from the pixels around it. What differs from that guess is the legend,
with its shadow or glow; only there the picture is filled in again, from what is left around and between the
strokes, so that the grain of a face stays. Lines that run in from outside, such as the rim of a key, are
no part of a legend.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.colours import to_lab
from skin_pipeline.geometry import FloatArray, Window
from skin_pipeline.skins.legends.placing import Line, Spot

Rgb3 = npt.NDArray[np.float32]
"""(h, w, 3), sRGB, 0 to 255."""
Mask = npt.NDArray[np.bool_]

_REACH, _LEAST_REACH_PX = 0.16, 2.0
"""How far beyond the place of a legend what was drawn there may reach, in em, and in pixels at least."""
_RING_PX = 3
_TOO_LARGE = 1.7
"""A quad with so many times the area of the legend that is set in it says little of what is drawn."""
_TOUCHED = 0.05
"""Coverage from which on a pixel belongs to a stroke."""
_DETAILS_PX = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Scales at which known pixels are spread, the finest first."""
_TRUSTED = 0.05
"""Share of known pixels near one at which a finer scale counts as much as the next coarser."""
_LEAST_DIFFERENCE, _MOST_DIFFERENCE = 5.0, 16.0
"""Bounds, in CIELAB, of what differs from a face: nobody sees less, and more is ink on any face."""
_NOISES = 2.5
_OUTLIERS = 2.5
"""In standard deviations."""
_HALO_PX = 2
_SOFT_PX = 0.7
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Drawn:
    """What was drawn in the place of a legend.

    Attributes:
        window: The part of the picture that arrays are of.
        inside: Where the legend may be, (h, w).
        face: The ground as it is guessed from around, (h, w, 3).
        picture: As it was, (h, w, 3).
        mask: What differs from the face, (h, w).
        threshold: The difference, in CIELAB, from which on it does.
    """

    window: Window
    inside: Mask
    face: Rgb3
    picture: Rgb3
    mask: Mask
    threshold: float

    def taken_from(self, ground: Rgb3) -> Rgb3:
        """Return a ground, the window's pixels, (h, w, 3), without it."""
        near = grown(self.mask, _HALO_PX) & self.inside
        filled = spread(ground, ~near)
        share = np.maximum(cv2.GaussianBlur(near.astype(np.float32), (0, 0), _SOFT_PX), near)
        without: Rgb3 = ground + (share * self.inside)[..., None] * (filled - ground)
        return without


def find_drawn(picture: npt.NDArray[np.uint8], spot: Spot, line: Line) -> Drawn:
    """Find what is drawn in the place of a legend.

    Args:
        picture: (H, W, 3) uint8 RGB.
        spot: Where the legend is said to be.
        line: The legend as it is set there.

    Returns:
        What is drawn there; its window lies in the picture.
    """
    reach = round(max(_LEAST_REACH_PX, _REACH * line.em_px))
    corners = np.concatenate([line.quad, spot.quad])
    window = window_around(corners, reach + _RING_PX, picture.shape)
    cut = picture[window.slices].astype(np.float32)
    tight = _filled(line.quad, window)
    said = _filled(spot.quad, window)
    if said.sum() < _TOO_LARGE * tight.sum():
        tight |= said
    inside = grown(tight, reach)
    strokes = line.coverage(window.left, window.top, window.width, window.height) > _TOUCHED
    face, noise = _face(cut, inside & ~grown(strokes, _RING_PX), grown(tight, _RING_PX))
    difference = np.linalg.norm(to_lab(cut) - to_lab(face), axis=2)
    threshold = float(np.clip(_NOISES * noise, _LEAST_DIFFERENCE, _MOST_DIFFERENCE))
    differs = difference > threshold
    mask = differs & inside & (tight | ~_runs_in(differs & ~tight, ~inside))
    return Drawn(window, inside, face, cut, mask, threshold)


def spread(picture: Rgb3, known: Mask) -> Rgb3:
    """Fill unknown pixels smoothly from known ones, by normalised convolution from coarse to fine.

    Knutsson and Westin, "Normalized and differential convolution", CVPR 1993.

    Args:
        picture: (h, w, 3).
        known: (h, w); if nothing is known the mean of all is taken.

    Returns:
        (h, w, 3); known pixels are as they were.
    """
    if not known.any():
        return np.broadcast_to(picture.mean(axis=(0, 1)), picture.shape).astype(np.float32)
    weight = known.astype(np.float32)
    weighted = picture * weight[..., None]
    filled = np.broadcast_to(picture[known].mean(axis=0), picture.shape).astype(np.float32)
    for sigma in reversed(_DETAILS_PX):
        near = cv2.GaussianBlur(weight, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)[..., None]
        mean = cv2.GaussianBlur(weighted, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        filled = (mean + _TRUSTED * filled) / (near + _TRUSTED)
    return np.where(known[..., None], picture, filled).astype(np.float32)


def grown(mask: Mask, by_px: int) -> Mask:
    """Return a mask with all that is within some pixels of it."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), _disc(by_px)), bool)


def _disc(radius_px: int) -> npt.NDArray[np.uint8]:
    side = 2 * radius_px + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def window_around(points: FloatArray, margin_px: int, shape: tuple[int, ...]) -> Window:
    """Return the whole pixels around points, cut at a picture's frame; at least one.

    Args:
        points: (N, 2), x and y.
        margin_px: How far to go beyond.
        shape: Of the picture, (H, W, ...).
    """
    height, width = shape[:2]
    left, top = np.clip(np.floor(points.min(axis=0)).astype(int) - margin_px, 0, (width - 1, height - 1))
    right, bottom = np.ceil(points.max(axis=0)).astype(int) + margin_px
    right, bottom = min(width, int(right)), min(height, int(bottom))
    return Window(int(left), int(top), max(1, right - int(left)), max(1, bottom - int(top)))


def _filled(quad: FloatArray, window: Window) -> Mask:
    corners = np.rint(quad - (window.left, window.top) - 0.5).astype(np.int32)
    mask = np.zeros((window.height, window.width), np.uint8)
    return np.asarray(cv2.fillConvexPoly(mask, corners, (1,)), bool)


def _face(picture: Rgb3, beside: Mask, near: Mask) -> tuple[Rgb3, float]:
    """Guess a face from pixels beside a legend.

    Args:
        picture: (h, w, 3).
        beside: Where no stroke is expected, (h, w).
        near: Where the face is more likely than what surrounds it, (h, w).

    Returns:
        The face (h, w, 3), and how restless it is, in CIELAB.
    """
    lab = to_lab(picture)
    sample = beside & near if (beside & near).any() else near
    middle = np.median(lab[sample], axis=0)
    far = np.linalg.norm(lab - middle, axis=2)
    usual_far = _MAD_TO_SIGMA * float(np.median(far[sample]))
    usual = (beside | sample) & (far <= max(_LEAST_DIFFERENCE, _OUTLIERS * usual_far))
    smooth = cv2.GaussianBlur(spread(picture, usual), (0, 0), 2.0)
    rest = np.linalg.norm(lab - to_lab(smooth), axis=2)[usual]
    return spread(smooth, usual), float(_MAD_TO_SIGMA * np.median(rest))


def _runs_in(differs: Mask, outside: Mask) -> Mask:
    """Return the connected parts that reach what lies outside of a legend's place: rims of keys, patterns."""
    _, labels = cv2.connectedComponents(differs.astype(np.uint8), connectivity=8)
    return np.isin(labels, np.setdiff1d(np.unique(labels[outside & differs]), [0]))
