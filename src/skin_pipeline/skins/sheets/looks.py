"""Turn pixels into looks: tiles, nine-patches, pressed states, legends that a keyboard writes itself."""

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.skins.contrast import legible_colour
from skin_pipeline.skins.drawn.icons import icon_mask
from skin_pipeline.skins.model import (
    Appearance,
    Atlas,
    Function,
    Layer,
    Rect,
    Rgba,
    RgbaPixels,
    TextStyle,
    Tile,
)
from skin_pipeline.skins.sheets.keyboards import KeyGeometry
from skin_pipeline.skins.sheets.matting import RgbPicture
from skin_pipeline.skins.sheets.nine_patch import measure_insets

PRESSED_SHADE = 0.78
"""Brightness of a pressed key, as a share of the idle one's, where a sheet shows no pressed key; on a dark
sheet what is left to white shrinks by it instead."""
LEGEND_HEIGHT = 0.36
"""Size of a written legend as a share of its key's height."""
LEGEND_WIDTH = 0.84
"""Largest width of a written legend as a share of its key's."""

_OPAQUE = 255
_WIDE_FROM = 0x2E80
"""First code point of the East Asian scripts, whose characters fill their em square."""
_ICON_PX = 96
_ICONS = {
    Function.SHIFT: "shift",
    Function.BACKSPACE: "backspace",
    Function.EMOJI: "emoji",
}
"""Functions whose legend is an icon, which not every typeface has."""


def tile_of(pixels: RgbaPixels, scale: float = 1.0) -> Tile:
    """Return pixels as a tile that fills its place; ``scale`` is design pixels in a pixel."""
    height, width = pixels.shape[:2]
    return Tile(
        Atlas("sheet", np.ascontiguousarray(pixels)), Rect(0, 0, width, height), "stretch", scale=scale
    )


def nine_patch_of(pixels: RgbaPixels) -> Tile:
    """Return a cap as a nine-patch; stretched as a whole if it is ornamented all over."""
    tile, insets = tile_of(pixels), measure_insets(pixels)
    return tile if insets is None else replace(tile, fit="nine_patch", insets=insets)


def scaled_to(tile: Tile, place: Rect) -> Tile:
    """Return a tile whose corners have the size that they have when it is pulled over a place evenly."""
    source = tile.source
    return replace(tile, scale=math.sqrt(place.width * place.height / (source.width * source.height)))


def same(tile: Tile) -> Appearance:
    """Return a tile for both states."""
    return Appearance(tile, tile)


def opaque(picture: RgbPicture) -> RgbaPixels:
    """Return a picture as a layer that hides all that is beneath."""
    return np.dstack([picture, np.full(picture.shape[:2], _OPAQUE, dtype=np.uint8)])


def shaded(pixels: RgbaPixels, is_dark: bool) -> RgbaPixels:
    """Return a key as if a finger lay on it: darker, or lighter on a dark sheet."""
    colour = pixels[..., :3].astype(np.float32)
    changed = _OPAQUE - (_OPAQUE - colour) * PRESSED_SHADE if is_dark else colour * PRESSED_SHADE
    return np.dstack([np.rint(changed).astype(np.uint8), pixels[..., 3]])


def shifted(pixels: RgbaPixels, change: npt.NDArray[np.float32]) -> RgbaPixels:
    """Return pixels with something added to their colours: (3,), or (H, W, 3)."""
    changed = np.clip(np.rint(pixels[..., :3] + change), 0, _OPAQUE).astype(np.uint8)
    return np.dstack([changed, pixels[..., 3]])


def ink_on(ground: RgbaPixels, preferred: Rgba | None = None) -> Rgba:
    """Return a colour in which text on a ground can be read: the preferred one or the nearest shade of it."""
    chosen = legible_colour(ground, None if preferred is None else preferred[:3]).colour
    return (*chosen, _OPAQUE)


def middle(pixels: RgbaPixels) -> RgbaPixels:
    """Return the middle of a cap, where its legend lies."""
    height, width = pixels.shape[:2]
    rows, columns = (slice(side // 4, max(side // 4 + 1, side * 3 // 4)) for side in (height, width))
    return pixels[rows, columns]


def written_legend(key: KeyGeometry, ink: Rgba, pressed_ink: Rgba) -> tuple[Layer, ...]:
    """Return a key's legend as the keyboard writes it, an icon for functions that have one."""
    if key.function in _ICONS:
        size = LEGEND_HEIGHT * min(key.place.width, key.place.height)
        idle, pressed = (_icon(_ICONS[key.function], size, colour) for colour in (ink, pressed_ink))
        return (Layer(Appearance(idle, pressed)),)
    if not key.label:
        return ()
    ems = sum(1.0 if ord(character) > _WIDE_FROM else 0.6 for character in key.label)
    size = min(LEGEND_HEIGHT * key.place.height, LEGEND_WIDTH * key.place.width / ems)
    return (Layer(TextStyle(size, ink, pressed_ink, weight=500).lettering(key.label)),)


def _icon(name: str, size: float, colour: Rgba) -> Tile:
    """Return an icon, as a tile of a size in design pixels."""
    coverage = icon_mask(name, _ICON_PX)
    pixels = np.empty((_ICON_PX, _ICON_PX, 4), dtype=np.uint8)
    pixels[..., :3] = colour[:3]
    pixels[..., 3] = np.rint(coverage * colour[3])
    return replace(tile_of(pixels, size / _ICON_PX), fit="centre")


def resized(picture: npt.NDArray[np.generic], size: tuple[int, int]) -> npt.NDArray[np.generic]:
    """Resize to a width and height: by area averages where it shrinks, else by bicubic interpolation."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=method))
