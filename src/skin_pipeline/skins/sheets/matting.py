"""Take a picture of a keyboard apart: the panel, key caps with alpha, legends with alpha.

A picture shows only what lies on top. What is beneath is filled in smoothly from its surroundings, and each
layer above then gets the opacity by which it differs from what is beneath, and the colours that make layers
laid on each other again give the picture that they were taken from. The parts may be wrong about what is
hidden; together they are never wrong about what is seen.

Pictures are ``uint8`` RGB (H, W, 3), layers ``uint8`` RGBA (H, W, 4) with straight alpha; boxes are
``x, y, width, height`` in pixels, rounded outwards to whole ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.skins.model import Rect, Rgba, RgbaPixels

RgbPicture = npt.NDArray[np.uint8]
"""(H, W, 3), red, green, blue."""

Mask = npt.NDArray[np.bool_]
"""(H, W)."""

_Plane = npt.NDArray[np.float32]

CAP_CONTRAST = 10.0
"""Least difference, in levels of 255 in any channel, by which a key cap stands out from its panel."""
LEGEND_CONTRAST = 24.0
"""Least difference by which a legend stands out from its cap."""
MIN_CAP_SHARE = 0.35
"""A key less of whose place stands out than this has no cap of its own: its legend lies on the panel."""


@dataclass(frozen=True)
class Legend:
    """A legend that was lifted off a cap.

    Attributes:
        pixels: RGBA, of the size of the cap it was lifted from, transparent where the legend is not.
        box: The legend's place in the cap.
        colour: The colour of its strokes.
    """

    pixels: RgbaPixels
    box: Rect
    colour: Rgba


def fill_smoothly(picture: npt.NDArray[np.float32], known: Mask) -> npt.NDArray[np.float32]:
    """Fill unknown pixels from known ones around them, near ones first, without seams.

    The pull-push of Gortler et al., "The Lumigraph" (SIGGRAPH 1996), section 3.4: average what is known over
    ever larger cells, then fill each level's holes from the next coarser one.

    Args:
        picture: float32, (H, W, C).
        known: Pixels to keep; if there is none, the result is 0 everywhere.

    Returns:
        float32, (H, W, C); known pixels as they were.
    """
    weight = known.astype(np.float32)
    filled: npt.NDArray[np.float32] = _pull_push(picture * weight[..., None], weight)
    filled[known] = picture[known]
    return filled


def _pull_push(weighted: npt.NDArray[np.float32], weight: _Plane) -> npt.NDArray[np.float32]:
    """Return the filled picture, from pixels that are multiplied by their weights (0 to 1)."""
    height, width = weight.shape
    own: npt.NDArray[np.float32] = weighted / np.maximum(weight, 1e-6)[..., None]
    if max(height, width) == 1:
        return own
    half = (max(1, width // 2), max(1, height // 2))
    coarse_weight = np.atleast_2d(cv2.resize(weight, half, interpolation=cv2.INTER_AREA))
    coarse_sum = cv2.resize(weighted, half, interpolation=cv2.INTER_AREA).reshape(*coarse_weight.shape, -1)
    # a cell that is known in part speaks for the whole of itself
    gain = np.minimum(1, coarse_weight * 4) / np.maximum(coarse_weight, 1e-6)
    coarse = _pull_push(coarse_sum * gain[..., None], coarse_weight * gain)
    beneath = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(own.shape)
    share = np.minimum(1, weight)[..., None]
    filled: npt.NDArray[np.float32] = (share * own + (1 - share) * beneath).astype(np.float32)
    return filled


def panel_beneath(picture: RgbPicture, keys: Sequence[Rect], margin_px: int = 1) -> RgbPicture:
    """Return the panel as it would be without its keys.

    Args:
        picture: The panel with its keys.
        keys: Their places.
        margin_px: How far around a key the picture is not trusted to show the panel (soft edges, shadows).

    Returns:
        RGB, of the picture's size; outside the keys and their margins as it was.
    """
    known = np.ones(picture.shape[:2], dtype=bool)
    for key in keys:
        rows, columns = _slices(key, picture.shape, margin_px)
        known[rows, columns] = False
    if not known.any():
        known[:] = True
    filled = fill_smoothly(picture.astype(np.float32), known)
    return _levels(filled)


def lift_cap(picture: RgbPicture, panel: RgbPicture, key: Rect) -> RgbaPixels:
    """Cut a key's cap out of a picture, with the alpha by which it covers the panel.

    What touches the edge of the key's place and looks like the panel is panel; the rest is cap. Laid on the
    panel, the cap gives the picture.

    Args:
        picture: The panel with its keys.
        panel: The same without (:func:`panel_beneath`).
        key: The key's place.

    Returns:
        RGBA, of the size of the key's place; wholly transparent where nothing stands out but a legend.
    """
    rows, columns = _slices(key, picture.shape)
    seen, beneath = picture[rows, columns].astype(np.float32), panel[rows, columns].astype(np.float32)
    stands_out = np.abs(seen - beneath).max(axis=-1) >= CAP_CONTRAST
    cap = ~_reached_from_edge(~stands_out)
    if cap.mean() < MIN_CAP_SHARE:
        return np.zeros((*cap.shape, 4), dtype=np.uint8)
    return _unmix(seen, beneath, _softened(cap))


def _reached_from_edge(passable: Mask) -> Mask:
    """Return the passable pixels that are connected to the edge of the picture by passable ones."""
    framed = np.pad(passable, 1, constant_values=True)
    _, labels = cv2.connectedComponents(framed.astype(np.uint8), connectivity=4)
    reached: Mask = (labels == labels[0, 0])[1:-1, 1:-1]
    return reached


def _softened(mask: Mask) -> _Plane:
    """Return the opacity of a shape whose edge is smoothed over about a pixel, outwards only."""
    soft = cv2.GaussianBlur(np.pad(mask, 2, mode="edge").astype(np.float32), (0, 0), 0.7)[2:-2, 2:-2]
    opacity: _Plane = np.where(mask, np.float32(1), np.where(soft < 0.05, 0, soft))
    return opacity


def _unmix(
    seen: npt.NDArray[np.float32], beneath: npt.NDArray[np.float32], opacity: _Plane
) -> npt.NDArray[np.uint8]:
    """Return the layer that, laid on what is beneath with that opacity, gives what is seen.

    Where no colour could do that, the opacity rises until one can.
    """
    # c = (seen - (1 - a) beneath) / a lies within 0..255 only if a is at least this
    difference = seen - beneath
    room = np.where(difference > 0, 255 - beneath, beneath)
    needed = (np.abs(difference) / np.maximum(room, 1)).max(axis=-1)
    opacity = np.where(opacity > 0, np.clip(np.maximum(opacity, needed), 0, 1), 0)
    alpha = _levels(np.ceil(opacity * 255)).astype(np.float32) / 255
    colour = (seen - (1 - alpha[..., None]) * beneath) / np.maximum(alpha, 1e-6)[..., None]
    colour[alpha == 0] = 0
    return np.dstack([_levels(colour), _levels(alpha * 255)])


def lift_legend(seen: RgbPicture, surface: Mask, box: Rect) -> tuple[RgbPicture, Legend | None]:
    """Lift the legend off what it is written on.

    Args:
        seen: What is seen of the key, RGB.
        surface: Where the legend's ground is seen: the opaque part of the cap, or all of it on a bare panel.
        box: Where the legend may be, in the key's pixels.

    Returns:
        The key without its legend, RGB, and the legend; the key as it was and None if nothing stands out.
    """
    place = _slices(box, seen.shape)
    pixels = seen.astype(np.float32)
    inside = ~_grown(~surface, 2)  # off the soft edge of the cap, which is neither ground nor legend
    if not inside[place].any():
        return seen, None
    distance = np.zeros(seen.shape[:2], dtype=np.float32)
    distance[place] = np.abs(pixels - _ground(pixels, inside))[place].max(axis=-1)
    distance[~inside] = 0
    strokes = _strokes(distance, inside, place)
    if strokes is None:
        return seen, None
    # now that the strokes are known, the ground between them says best what is beneath them
    ground = inside & ~_grown(strokes, 2)
    if not ground.any():
        return seen, None
    plain = fill_smoothly(pixels, ground)
    ink = np.median(pixels[distance >= np.quantile(distance[strokes], 0.6)], axis=0)
    opacity = _coverage(pixels, plain, ink)
    opacity[~_grown(strokes, 2)] = 0
    layer = _unmix(pixels, plain, opacity)
    red, green, blue = (int(level) for level in np.rint(ink))
    bare = np.where((opacity > 0)[..., None], _levels(plain), seen)
    return bare, Legend(layer, _ink_box(layer), (red, green, blue, 255))


def _ground(pixels: npt.NDArray[np.float32], inside: Mask) -> npt.NDArray[np.float32]:
    """Return a first guess of a key without its legend: the median of what is around each pixel.

    Strokes are thinner than what is between them, so in a window of most of the key most pixels are
    ground; and unlike an average, a median keeps the steps of a shaded cap where they are.
    """
    height, width = inside.shape
    window = max(3, int(min(height, width, 300) * 0.8) | 1)
    whole = _levels(fill_smoothly(pixels, inside))
    border = window // 2
    padded = cv2.copyMakeBorder(whole, border, border, border, border, cv2.BORDER_REFLECT)
    median = cv2.medianBlur(padded, window)[border : border + height, border : border + width]
    ground: npt.NDArray[np.float32] = median.astype(np.float32)
    return ground


def _grown(mask: Mask, distance_px: int) -> Mask:
    """Return a mask with what is near it."""
    square = np.ones((3, 3), np.uint8)
    grown: Mask = cv2.dilate(mask.astype(np.uint8), square, iterations=distance_px).astype(bool)
    return grown


def _strokes(distance: _Plane, inside: Mask, place: tuple[slice, slice]) -> Mask | None:
    """Return the pixels that stand out in a place by Otsu's threshold, or None if they hardly do.

    What only runs along the cap's edge is the cap's border, not a stroke.
    """
    levels = np.minimum(distance[place], 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    strokes = np.zeros(distance.shape, dtype=bool)
    strokes[place] = levels > max(threshold, LEGEND_CONTRAST)
    _, labels = cv2.connectedComponents(strokes.astype(np.uint8), connectivity=8)
    rim_px = max(2, round(0.08 * min(inside.shape)))
    at_edge = np.unique(labels[strokes & _rim(inside, rim_px)])
    core = _central(inside)
    strokes &= ~np.isin(labels, at_edge[~np.isin(at_edge, np.unique(labels[core]))])
    share = strokes[place].mean()
    return strokes if 0 < share < 0.75 else None


def _rim(inside: Mask, width_px: int) -> Mask:
    """Return the part of a mask that is near its edge or the picture's."""
    framed = np.pad(inside, 1, constant_values=False)
    return inside & _grown(~framed, width_px)[1:-1, 1:-1]


def _central(inside: Mask) -> tuple[slice, slice]:
    """Return the rows and columns of the middle half of a mask's extent."""
    rows, columns = np.nonzero(inside.any(axis=1))[0], np.nonzero(inside.any(axis=0))[0]
    return tuple(
        slice(int(axis[0] + len(axis) // 4), int(axis[0] + len(axis) * 3 // 4) + 1)
        for axis in (rows, columns)
    )  # type: ignore[return-value]


def _coverage(
    seen: npt.NDArray[np.float32], plain: npt.NDArray[np.float32], ink: npt.NDArray[np.float32]
) -> _Plane:
    """Return how far each pixel has gone from the plain cap to the ink, 0 to 1."""
    way = ink - plain
    length = np.maximum((way**2).sum(axis=-1), 1.0)
    coverage: _Plane = np.clip(((seen - plain) * way).sum(axis=-1) / length, 0, 1).astype(np.float32)
    coverage[coverage < 0.06] = 0
    return coverage


def _ink_box(pixels: RgbaPixels) -> Rect:
    """Return the smallest box around what is more than faintly visible."""
    rows, columns = np.nonzero(pixels[..., 3] > 48)
    if not len(rows):
        return Rect(0, 0, 0, 0)
    x, y = int(columns.min()), int(rows.min())
    return Rect(x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y)


def _slices(box: Rect, shape: Sequence[int], margin_px: int = 0) -> tuple[slice, slice]:
    """Return the rows and columns of a box within a picture, rounded outwards."""
    height, width = shape[:2]
    left, top = int(np.floor(box.x)) - margin_px, int(np.floor(box.y)) - margin_px
    right, bottom = int(np.ceil(box.right)) + margin_px, int(np.ceil(box.bottom)) + margin_px
    return slice(max(0, top), min(height, bottom)), slice(max(0, left), min(width, right))


def _levels(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Round to the 256 levels of a picture."""
    levels: npt.NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels
