"""Drawing the keyboards of a skin as the phone would.

A phone fits the panel to the width of its screen and may let its user stretch it in height. Places and
offsets follow both; pictures drawn at their own size, corners of nine-patches and text follow the width
alone, so they keep their proportions.

Pictures are blended with premultiplied alpha: transparent pixels have no colour that could bleed into an edge
when a picture is resized.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from skin_pipeline.errors import InputError
from skin_pipeline.skins.model import (
    CandidateBar,
    Condition,
    Fill,
    Key,
    Keyboard,
    KeyList,
    Layer,
    Lettering,
    Paint,
    Rect,
    Rgba,
    RgbaPixels,
    State,
    TextStyle,
    Tile,
    Typeface,
)
from skin_pipeline.typefaces import font_path, load_font, missing_glyphs

MAX_SIDE_PX = 8192
_BOLD_WEIGHT = 600
_MAX_TEXT = 64
"""Characters of one text that are drawn."""
_MAX_OVERHANG = 4
"""Pictures may have this many times the canvas' area, so that no package can ask for endless memory."""
_ALWAYS_DRAWN_PX = 1 << 16
_MAX_SPRITE_BYTES = 1 << 26
"""Resized tiles that are kept while a keyboard is drawn."""
_MAX_SUPERSAMPLED_PX = 1 << 22
_CORNER_SUPERSAMPLING = 4

_Premultiplied = npt.NDArray[np.uint8]
"""(H, W, 4) RGBA, colours premultiplied by alpha."""
_Font = ImageFont.FreeTypeFont
_OPAQUE = 255


@dataclass(frozen=True)
class _Box:
    """Whole pixels of a canvas, right and bottom not included."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        return self.right - self.left, self.bottom - self.top

    def clipped(self, other: _Box) -> _Box:
        left, top = max(self.left, other.left), max(self.top, other.top)
        return _Box(
            left, top, max(left, min(self.right, other.right)), max(top, min(self.bottom, other.bottom))
        )


# --- what others call -----------------------------------------------------------------------------------


def render_keyboard(
    keyboard: Keyboard,
    width_px: int,
    *,
    height_px: int | None = None,
    pressed: Collection[str] = (),
    conditions: Collection[Condition] = (),
    candidates: Sequence[str] = (),
) -> RgbaPixels:
    """Draw a keyboard with its candidate bar.

    Args:
        keyboard: What to draw.
        width_px: Width of the picture, 1 to 8192.
        height_px: Height of the picture; in proportion to the width if None.
        pressed: Ids of the keys that are pressed.
        conditions: What holds; keys that have a variant for it show that.
        candidates: Words on the candidate bar, or in the cells of a panel of candidates. A bar that comes and
            goes is drawn only if there are any.

    Returns:
        (height, width_px, 4) uint8, RGBA; transparent where the skin paints nothing.

    Raises:
        InputError: A size out of range, or a pressed key that the keyboard does not have.
    """
    unknown = set(pressed) - {key.id for key in keyboard.keys}
    if unknown:
        raise InputError(f"Keyboard '{keyboard.name}' has no key {', '.join(sorted(unknown))}.")
    bounds = keyboard.bounds_when(composing=bool(candidates))
    canvas = _Canvas(bounds, width_px, height_px)
    canvas.draw(keyboard.background.normal, keyboard.panel)
    if keyboard.preedit is not None:
        canvas.draw(keyboard.preedit.background.normal, keyboard.preedit.rect)
    if keyboard.bar is not None and keyboard.bar.always_shown and not candidates:
        _draw_bar(canvas, keyboard.bar, candidates)
    for key in keyboard.keys:
        _draw_key(canvas, key.under(conditions), "pressed" if key.id in pressed else "normal")
    for strip in keyboard.lists:
        if strip.always_shown:
            _draw_list(canvas, strip)
    if keyboard.grid is not None:
        cells = _grid_cells(keyboard)
        for index, cell in enumerate(cells):
            canvas.draw(keyboard.grid.cell.normal, cell)
            if index < len(candidates):
                _write(canvas, keyboard.grid.text, candidates[index], cell)
    if keyboard.bar is not None and candidates:
        # Candidates cover the buttons of a toolbar, and the keys beneath a bar that comes and goes.
        _draw_bar(canvas, keyboard.bar, candidates)
    return canvas.picture()


def render_panel(keyboard: Keyboard, width_px: int, *, height_px: int | None = None) -> RgbaPixels:
    """Draw the background of a panel alone: no keys, no bar.

    Returns:
        (height, width_px, 4) uint8, RGBA.

    Raises:
        InputError: A size out of range.
    """
    canvas = _Canvas(keyboard.panel, width_px, height_px)
    canvas.draw(keyboard.background.normal, keyboard.panel)
    return canvas.picture()


def render_bar(
    bar: CandidateBar, width_px: int, *, height_px: int | None = None, candidates: Sequence[str] = ()
) -> RgbaPixels:
    """Draw a candidate bar alone.

    Args:
        bar: What to draw.
        width_px: Width of the picture.
        height_px: Height of the picture; in proportion to the width if None.
        candidates: Words on it; buttons that give way to them are then not drawn.

    Returns:
        (height, width_px, 4) uint8, RGBA.

    Raises:
        InputError: A size out of range.
    """
    canvas = _Canvas(bar.rect, width_px, height_px)
    _draw_bar(canvas, bar, candidates)
    return canvas.picture()


def render_key(
    key: Key,
    width_px: int,
    *,
    height_px: int | None = None,
    state: State = "normal",
    foregrounds: bool = True,
) -> RgbaPixels:
    """Draw a key alone, on nothing.

    Args:
        key: What to draw.
        width_px: Width of the picture, which is the key's own rectangle.
        height_px: Height of the picture; in proportion to the width if None.
        state: 'normal' or 'pressed'.
        foregrounds: False to draw the key cap only.

    Returns:
        (height, width_px, 4) uint8, RGBA.

    Raises:
        InputError: A size out of range.
    """
    canvas = _Canvas(key.rect, width_px, height_px)
    for layer in key.layers if foregrounds else (key.background,):
        canvas.draw_layer(layer, key.rect, state)
    return canvas.picture()


def render_paint(paint: Paint | None, size_px: tuple[int, int], *, unit_px: float = 1.0) -> RgbaPixels:
    """Draw a paint alone in a place of a size.

    Args:
        paint: What to draw.
        size_px: Width and height of the picture.
        unit_px: Pixels in a design pixel; gives corners, own sizes and text their size.

    Returns:
        (height, width, 4) uint8, RGBA.

    Raises:
        InputError: A size out of range.
    """
    place = Rect(0, 0, size_px[0] / unit_px, size_px[1] / unit_px)
    canvas = _Canvas(place, size_px[0], size_px[1])
    canvas.draw(paint, place)
    return canvas.picture()


def on_colour(picture: RgbaPixels, colour: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Lay a picture on a colour: (H, W, 4) RGBA -> (H, W, 3) RGB."""
    alpha = picture[..., 3:].astype(np.float32) / _OPAQUE
    mixed = picture[..., :3] * alpha + np.asarray(colour, np.float32) * (1 - alpha)
    return np.asarray(np.rint(mixed), np.uint8)


# --- parts of a keyboard --------------------------------------------------------------------------------


def _draw_key(canvas: _Canvas, key: Key, state: State) -> None:
    for layer in key.layers:
        canvas.draw_layer(layer, key.rect, state)


def _draw_list(canvas: _Canvas, strip: KeyList) -> None:
    canvas.draw(strip.background.normal, strip.rect)
    for index, cell in enumerate(strip.cells()):
        canvas.draw(strip.cell.normal, cell)
        if index < len(strip.entries):
            _write(canvas, strip.text, strip.entries[index], cell)


def _draw_bar(canvas: _Canvas, bar: CandidateBar, candidates: Sequence[str]) -> None:
    canvas.draw(bar.background.normal, bar.rect)
    hidden = "idle" if candidates else "with_candidates"
    for icon in bar.icons:
        if icon.shown not in (hidden, "never"):
            _draw_key(canvas, icon.key, "normal")
    x = bar.rect.x + bar.first_gap
    for index, word in enumerate(candidates):
        text, cell = (bar.first_text, bar.first_cell) if index == 0 else (bar.text, bar.cell)
        if text is None:
            return
        width = _width(text, word) + bar.gap
        place = Rect(x, bar.rect.y, width, bar.rect.height)
        if place.right > bar.rect.right:
            return
        canvas.draw(cell.normal, place)
        _write(canvas, text, word, place)
        x += width


def _grid_cells(keyboard: Keyboard) -> list[Rect]:
    """Return the places of a grid's cells, row by row."""
    grid = keyboard.grid
    assert grid is not None
    width, height = grid.rect.width / grid.columns, grid.rect.height / grid.rows
    return [
        Rect(grid.rect.x + column * width, grid.rect.y + row * height, width, height)
        for row in range(grid.rows)
        for column in range(grid.columns)
    ]


def _write(canvas: _Canvas, style: TextStyle | None, text: str, place: Rect) -> None:
    if style is not None:
        canvas.draw(style.lettering(text).normal, place, clip=place)


def _width(style: TextStyle, text: str) -> float:
    """Return the width of a text in design pixels."""
    font = _font(style.typeface, style.weight, 100)
    return float(font.getlength(text[:_MAX_TEXT])) * style.size / 100


# --- the canvas -----------------------------------------------------------------------------------------


class _Canvas:
    """A transparent picture of a rectangle of design pixels."""

    def __init__(self, bounds: Rect, width_px: int, height_px: int | None) -> None:
        if bounds.is_empty:
            raise InputError(f"A place of {bounds.width:g}x{bounds.height:g} design pixels cannot be drawn.")
        if height_px is None:
            height_px = max(1, round(width_px * bounds.height / bounds.width))
        if not (1 <= width_px <= MAX_SIDE_PX and 1 <= height_px <= MAX_SIDE_PX):
            raise InputError(f"A picture must have 1 to {MAX_SIDE_PX} px a side, got {width_px}x{height_px}.")
        self._origin = (bounds.x, bounds.y)
        self._scale = (width_px / bounds.width, height_px / bounds.height)
        self._pixels: _Premultiplied = np.zeros((height_px, width_px, 4), np.uint8)
        self._whole = _Box(0, 0, width_px, height_px)
        self._sprites: dict[tuple[int, int, int], _Premultiplied] = {}
        self._sprite_bytes = 0
        self._crops: dict[int, tuple[Tile, _Premultiplied]] = {}

    @property
    def _unit(self) -> float:
        """Pixels in a design pixel, for what keeps its proportions."""
        return self._scale[0]

    def picture(self) -> RgbaPixels:
        """Return what was drawn, with straight alpha."""
        return _straight(self._pixels)

    def box(self, rect: Rect) -> _Box:
        """Return a rectangle's pixels; edges are rounded, so that neighbours neither overlap nor part."""
        (x, y), (scale_x, scale_y) = self._origin, self._scale
        return _Box(
            round((rect.x - x) * scale_x),
            round((rect.y - y) * scale_y),
            round((rect.right - x) * scale_x),
            round((rect.bottom - y) * scale_y),
        )

    def draw_layer(self, layer: Layer, place: Rect, state: State) -> None:
        """Draw a layer of something that lies at a place."""
        self.draw(layer.appearance.paint(state), place.inset(layer.insets).moved(*layer.offset))

    def draw(self, paint: Paint | None, place: Rect, clip: Rect | None = None) -> None:
        """Draw a paint at a place; outside of the clipping rectangle nothing is drawn."""
        window = self._whole if clip is None else self._whole.clipped(self.box(clip))
        if paint is None or place.is_empty:
            return
        if isinstance(paint, Fill):
            self._fill(paint, self.box(place), window)
        elif isinstance(paint, Tile):
            self._tile(paint, place, window)
        else:
            self._letter(paint, place, window)

    def _fill(self, fill: Fill, box: _Box, window: _Box) -> None:
        if not fill.radius and not fill.border_width:
            shown = box.clipped(window)
            if min(shown.size) > 0:
                sprite = np.empty((shown.size[1], shown.size[0], 4), np.uint8)
                sprite[:] = _premultiplied(np.asarray(fill.colour, np.uint8).reshape(1, 1, 4))
                self._stamp(sprite, shown.left, shown.top, window)
        elif self._is_drawable(box.size):
            self._stamp(_rounded(fill, box.size, self._unit), box.left, box.top, window)

    def _tile(self, tile: Tile, place: Rect, window: _Box) -> None:
        box = self.box(place)
        if tile.fit == "centre":
            size = round(tile.size[0] * self._unit), round(tile.size[1] * self._unit)
            centre_x = (place.centre[0] - self._origin[0]) * self._scale[0]
            centre_y = (place.centre[1] - self._origin[1]) * self._scale[1]
            size = max(1, size[0]), max(1, size[1])
            left, top = round(centre_x - size[0] / 2), round(centre_y - size[1] / 2)
        else:
            size, left, top = box.size, box.left, box.top
        if self._is_drawable(size):
            self._stamp(self._sprite(tile, size), left, top, window)

    def _is_drawable(self, size: tuple[int, int]) -> bool:
        """Return whether a size is neither empty nor absurd."""
        (width, height), (canvas_width, canvas_height) = size, self._whole.size
        room = _MAX_OVERHANG * max(canvas_width * canvas_height, _ALWAYS_DRAWN_PX)
        return width > 0 and height > 0 and width * height <= room

    def _sprite(self, tile: Tile, size: tuple[int, int]) -> _Premultiplied:
        """Return a tile at a size in pixels; many keys share one."""
        key = (id(tile), *size)
        if key not in self._sprites:
            self._sprite_bytes += 4 * size[0] * size[1]
            if self._sprite_bytes > _MAX_SPRITE_BYTES:
                self._sprites.clear()
                self._sprite_bytes = 4 * size[0] * size[1]
            if id(tile) not in self._crops:
                # Keeping the tile keeps its id its own.
                self._crops[id(tile)] = tile, _premultiplied(tile.crop())
            crop = self._crops[id(tile)][1]
            if tile.fit == "nine_patch":
                self._sprites[key] = _nine_patch(crop, tile, size, tile.scale * self._unit)
            else:
                self._sprites[key] = _resized(crop, size)
        return self._sprites[key]

    def _letter(self, lettering: Lettering, place: Rect, window: _Box) -> None:
        size_px = round(lettering.size * self._unit)
        if not 1 <= size_px <= MAX_SIDE_PX // 8:
            return
        font = _font(lettering.typeface, lettering.weight, size_px)
        text = _writable(lettering.text[:_MAX_TEXT], lettering)
        if not text.strip():
            return
        x = (place.centre[0] - self._origin[0]) * self._scale[0]
        y = (place.centre[1] - self._origin[1]) * self._scale[1]
        left, top, right, bottom = font.getbbox(text, anchor="mm")
        box = _Box(round(x + left) - 2, round(y + top) - 2, round(x + right) + 2, round(y + bottom) + 2)
        shown = box.clipped(window)
        if min(shown.size) <= 0:
            return
        mask = Image.new("L", shown.size)
        ImageDraw.Draw(mask).text((x - shown.left, y - shown.top), text, fill=_OPAQUE, font=font, anchor="mm")
        self._stamp(_inked(np.asarray(mask), lettering.colour), shown.left, shown.top, window)

    def _stamp(self, sprite: _Premultiplied, left: int, top: int, window: _Box) -> None:
        """Blend a picture over the canvas."""
        height, width = sprite.shape[:2]
        box = _Box(left, top, left + width, top + height).clipped(window)
        if min(box.size) <= 0:
            return
        over = sprite[box.top - top : box.bottom - top, box.left - left : box.right - left]
        under = self._pixels[box.top : box.bottom, box.left : box.right]
        rest = _OPAQUE - over[..., 3:].astype(np.uint16)
        under[:] = over + ((under * rest + 127) // _OPAQUE).astype(np.uint8)


# --- pixels ---------------------------------------------------------------------------------------------


def _premultiplied(pixels: RgbaPixels) -> _Premultiplied:
    alpha = pixels[..., 3:].astype(np.uint16)
    product = np.empty_like(pixels)
    product[..., :3] = (pixels[..., :3] * alpha + 127) // _OPAQUE
    product[..., 3:] = pixels[..., 3:]
    return product


def _straight(pixels: _Premultiplied) -> RgbaPixels:
    alpha = pixels[..., 3:]
    if (alpha == _OPAQUE).all():
        return pixels
    divisor = np.maximum(alpha, 1).astype(np.uint16)
    straight = pixels.copy()
    straight[..., :3] = np.minimum(
        _OPAQUE, (pixels[..., :3].astype(np.uint16) * _OPAQUE + divisor // 2) // divisor
    )
    return straight


def _resized(pixels: _Premultiplied, size: tuple[int, int]) -> _Premultiplied:
    """Resize to (width, height), averaging where it shrinks."""
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    shrinks = size[0] <= width and size[1] <= height
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def _nine_patch(pixels: _Premultiplied, tile: Tile, size: tuple[int, int], scale: float) -> _Premultiplied:
    """Stretch the middle of a picture; corners keep their size unless there is no room for them."""
    insets = tile.insets
    result = np.empty((size[1], size[0], 4), np.uint8)
    columns = _splits(pixels.shape[1], size[0], insets.left, insets.right, scale)
    rows = _splits(pixels.shape[0], size[1], insets.top, insets.bottom, scale)
    for from_top, from_bottom, to_top, to_bottom in rows:
        for from_left, from_right, to_left, to_right in columns:
            patch = pixels[from_top:from_bottom, from_left:from_right]
            result[to_top:to_bottom, to_left:to_right] = _resized(
                patch, (to_right - to_left, to_bottom - to_top)
            )
    return result


def _splits(
    source_px: int, target_px: int, near: float, far: float, scale: float
) -> list[tuple[int, int, int, int]]:
    """Return start and end of an axis's three parts, in the source and in the target; empty ones left out."""
    ends = (near + far) * scale
    squeeze = min(1.0, target_px / ends) if ends else 1.0
    target_near = min(target_px, round(near * scale * squeeze))
    target_far = max(target_near, target_px - round(far * scale * squeeze))
    marks = (0, int(near), source_px - int(far), source_px), (0, target_near, target_far, target_px)
    parts = [(marks[0][i], marks[0][i + 1], marks[1][i], marks[1][i + 1]) for i in range(3)]
    return [part for part in parts if part[1] > part[0] and part[3] > part[2]]


def _rounded(fill: Fill, size: tuple[int, int], unit: float) -> _Premultiplied:
    """Paint a plain colour with rounded corners and a line along its edge."""
    outer = _rounded_mask(size, fill.radius * unit, 0)
    if fill.border_colour is None or fill.border_width * unit < 0.5:
        return _inked(outer, fill.colour)
    inner = _rounded_mask(size, fill.radius * unit, fill.border_width * unit)
    inside, line = _inked(inner, fill.colour), _inked(outer - np.minimum(inner, outer), fill.border_colour)
    return np.asarray(np.minimum(inside.astype(np.uint16) + line, _OPAQUE), np.uint8)


def _rounded_mask(size: tuple[int, int], radius: float, margin: float) -> npt.NDArray[np.uint8]:
    factor = _CORNER_SUPERSAMPLING if size[0] * size[1] <= _MAX_SUPERSAMPLED_PX else 1
    width, height = size[0] * factor, size[1] * factor
    margin = min(margin, size[0] / 2, size[1] / 2) * factor
    box = (margin, margin, width - 1 - margin, height - 1 - margin)
    if box[0] >= box[2] or box[1] >= box[3]:
        return np.zeros((size[1], size[0]), np.uint8)
    radius = min(max(0.0, radius * factor - margin), width / 2, height / 2)
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).rounded_rectangle(box, radius, fill=_OPAQUE)
    return np.asarray(mask.reduce(factor))


def _inked(mask: npt.NDArray[np.uint8], colour: Rgba) -> _Premultiplied:
    """Return a colour where a mask (h, w) is."""
    sprite = np.empty((*mask.shape, 4), np.uint8)
    sprite[..., :3] = colour[:3]
    sprite[..., 3] = (mask.astype(np.uint16) * colour[3] + 127) // _OPAQUE
    return _premultiplied(sprite)


# --- type -----------------------------------------------------------------------------------------------


def _font(typeface: Typeface | None, weight: int, size_px: int) -> _Font:
    if typeface is not None:
        font = _package_font(typeface, size_px)
        if font is not None:
            return font
    return load_font(font_path("sans_sc_bold" if weight >= _BOLD_WEIGHT else "sans_sc_regular"), size_px)


@lru_cache(maxsize=64)
def _package_font(typeface: Typeface, size_px: int) -> _Font | None:
    """Open a font of a package; None if it is not one."""
    try:
        return ImageFont.truetype(io.BytesIO(typeface.content), size_px, layout_engine=ImageFont.Layout.BASIC)
    except (OSError, ValueError):
        return None


def _writable(text: str, lettering: Lettering) -> str:
    """Leave out what the phone's font cannot write; an empty box says nothing."""
    if lettering.typeface is not None:
        return text
    path = font_path("sans_sc_bold" if lettering.weight >= _BOLD_WEIGHT else "sans_sc_regular")
    missing = missing_glyphs(text, path)
    return "".join(character for character in text if character not in missing)
