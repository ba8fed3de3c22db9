"""Keys as sprites: a signed distance to the outline, painted as fill, border, shadow and gloss.

A sprite's pixel (row i, column j) covers the unit square around (j + 0.5, i + 0.5); distances are in pixels,
negative inside.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from skin_pipeline.colours import Rgb
from skin_pipeline.skins.drawn.palettes import KeyFinish, KeyShape, mix

_Plane = npt.NDArray[np.float32]

_WHITE: Rgb = (255, 255, 255)
_BLACK: Rgb = (0, 0, 0)


@dataclass(frozen=True)
class KeyLook:
    """How a key is painted.

    Attributes:
        shape: Its outline.
        finish: Its surface.
        fill: Colour of its body.
        alpha: Opacity of its body, in [0, 1].
        border: Colour of its border; None for no border.
        roundness: Corner radius of 'rounded' keys in units of the shorter side, in [0, 0.5].
        unit_px: Height of a letter key, which scales shadows and borders.
    """

    shape: KeyShape
    finish: KeyFinish
    fill: Rgb
    alpha: float
    border: Rgb | None
    roundness: float
    unit_px: float


@dataclass(frozen=True)
class Sprite:
    """A picture with opacity, to be laid over another.

    Attributes:
        colour: (h, w, 3) premultiplied by the opacity, 0-255.
        opacity: (h, w, 1), in [0, 1].
        margin_px: Width of the frame around the key that only its shadow touches.
    """

    colour: _Plane
    opacity: _Plane
    margin_px: int

    def lay_on(self, canvas: npt.NDArray[np.uint8], x: int, y: int) -> None:
        """Blend the sprite into a canvas (H, W, 3), its key's top left corner at (x, y)."""
        height, width = self.colour.shape[:2]
        left, top = x - self.margin_px, y - self.margin_px
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + width, canvas.shape[1]), min(top + height, canvas.shape[0])
        inner = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        region = canvas[y0:y1, x0:x1]
        region[:] = np.round(region * (1 - self.opacity[inner]) + self.colour[inner]).astype(np.uint8)


def corner_radii(shape: KeyShape, width_px: float, height_px: float, roundness: float) -> tuple[float, ...]:
    """Return the radii of a key's corners, in pixels: top left, top right, bottom right, bottom left."""
    short = min(width_px, height_px)
    if shape == "square":
        return (short * 0.04,) * 4
    if shape in ("pill", "circle"):
        return (short * 0.5,) * 4
    if shape == "leaf":
        return (short * 0.46, short * 0.1, short * 0.46, short * 0.1)
    return (short * roundness,) * 4


@lru_cache(maxsize=64)
def key_sprite(look: KeyLook, width_px: int, height_px: int) -> Sprite:
    """Paint a key of a size."""
    margin = max(2, round(look.unit_px * 0.1))
    distance, y = _distance(look, width_px, height_px, margin)
    canvas = _Layers(distance.shape)
    _cast_shadow(canvas, look, distance)
    if look.alpha > 0:
        canvas.over(
            look.fill if look.finish not in ("glossy", "raised") else _shaded(look, y),
            _cover(distance) * look.alpha,
        )
    if look.finish == "glossy":
        sheen = _cover(distance + look.unit_px * 0.035) * np.clip(1 - y / 0.5, 0, 1) * 0.4
        canvas.over(_WHITE, sheen.astype(np.float32))
    if look.border is not None:
        width = max(1.2, look.unit_px * (0.028 if look.finish == "outlined" else 0.02))
        canvas.over(look.border, _cover(np.abs(distance + width / 2) - width / 2))
    return Sprite(canvas.colour, canvas.opacity, margin)


def key_coverage(look: KeyLook, width_px: int, height_px: int) -> _Plane:
    """Return how much of each pixel of a key's box lies on the key, (height_px, width_px), in [0, 1]."""
    return _cover(_distance(look, width_px, height_px, 0)[0])


class _Layers:
    """A premultiplied picture that colours are laid over."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.colour: _Plane = np.zeros((*shape, 3), np.float32)
        self.opacity: _Plane = np.zeros((*shape, 1), np.float32)

    def over(self, colour: Rgb | _Plane, alpha: _Plane) -> None:
        """Lay a colour, or a picture of colours (h, w, 3), over what is there."""
        share = alpha[..., None]
        self.colour = self.colour * (1 - share) + np.asarray(colour, np.float32) * share
        self.opacity = self.opacity * (1 - share) + share


def _distance(look: KeyLook, width: int, height: int, margin: int) -> tuple[_Plane, _Plane]:
    """Return the signed distance to the outline, and y in [0, 1] from the key's top to its bottom.

    The distance to a rectangle with four radii: the radius is that of the quadrant a pixel lies in.
    """
    ys = np.arange(height + 2 * margin, dtype=np.float32)[:, None] + 0.5 - margin
    xs = np.arange(width + 2 * margin, dtype=np.float32)[None, :] + 0.5 - margin
    top_left, top_right, bottom_right, bottom_left = corner_radii(look.shape, width, height, look.roundness)
    right, low = xs > width / 2, ys > height / 2
    radius = np.where(low, np.where(right, bottom_right, bottom_left), np.where(right, top_right, top_left))
    dx = np.abs(xs - width / 2) - width / 2 + radius
    dy = np.abs(ys - height / 2) - height / 2 + radius
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    distance = outside + np.minimum(np.maximum(dx, dy), 0) - radius
    return distance.astype(np.float32), np.broadcast_to(ys / height, distance.shape).astype(np.float32)


def _cover(distance: _Plane) -> _Plane:
    """Return how much of each pixel lies inside, in [0, 1]."""
    return np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32)


def _moved_down(distance: _Plane, pixels: int) -> _Plane:
    return np.vstack([np.repeat(distance[:1], pixels, axis=0), distance[: len(distance) - pixels]])


def _cast_shadow(canvas: _Layers, look: KeyLook, distance: _Plane) -> None:
    """Paint what lies under the body: a soft shadow, or the side of a raised key."""
    if look.alpha < 1:
        return
    if look.finish == "shadow":
        blur = look.unit_px * 0.07
        soft = np.clip(0.5 - _moved_down(distance, max(1, round(look.unit_px * 0.03))) / (2 * blur), 0, 1)
        canvas.over(_BLACK, (soft * soft * 0.45).astype(np.float32))
    elif look.finish == "raised":
        depth = max(1, round(look.unit_px * 0.055))
        canvas.over(mix(look.fill, _BLACK, 0.38), _cover(_moved_down(distance, depth)))


def _shaded(look: KeyLook, y: _Plane) -> _Plane:
    """Return the body's colour from a little lighter at the top to a little darker at the bottom."""
    depth = 0.1 if look.finish == "glossy" else 0.05
    tone = (0.5 - np.clip(y, 0, 1))[..., None] * 2 * depth
    fill = np.asarray(look.fill, np.float32)
    return np.where(tone > 0, fill + (255 - fill) * tone, fill * (1 + tone)).astype(np.float32)
