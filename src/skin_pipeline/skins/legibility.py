"""Legends that can be read: how they stand out from what is beneath them, and what is done if they do not.

What is generated owes nobody a readable legend: ink may be as light as its cap, a cap as restless as a
photograph, and a key that is read when idle may not be when pressed. So each legend is measured on a drawing
of the keyboard, in both states: the contrast (WCAG 2.1) of its ink with each pixel that it lies on or beside.
Where that is too little, the nearest shade of the ink that has enough is taken. On a ground of both light and
dark no ink has; there a soft plate of the ground's middle colour is laid between ground and legend, as thin
as will do. On a plain colour black or white always has 4.58 or more, so there is an end to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.colours import Rgb
from skin_pipeline.skins.contrast import MIN_CONTRAST, contrast_with, legible_colour
from skin_pipeline.skins.model import (
    NOTHING,
    Appearance,
    Atlas,
    CandidateBar,
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
    Skin,
    State,
    TextStyle,
    Tile,
)
from skin_pipeline.skins.rendering import on_colour, render_key, render_keyboard, render_paint

WIDTH_PX = 720
"""Width at which keyboards are measured: that of most phones' packages."""
LOW_SHARE = 0.1
"""A legend is judged by the contrast that all but this share of the pixels beneath it reach."""

_STATES: tuple[State, State] = ("normal", "pressed")
_BEHIND: Rgb = (255, 255, 255)
_ENOUGH, _WANTED = 4.55, 4.8
"""Below the first a legend is mended at any cost, below the second if another shade of it will do: a little
more than must be, for writers resample pictures. Every plain colour allows 4.58."""
_CORE = 0.75
"""A pixel belongs to the core of a legend if it is this opaque, as a share of the most opaque one."""
_WITHIN = 0.9
"""Share of a legend that lies on a lower foreground if that is a plate, and no legend itself."""
_FAINTEST = 32
"""Levels of alpha: nobody sees a legend that is fainter, so it is none."""
_BESIDE_PX = 2
_PLATE_MARGIN_PX = 6
_SAMPLED_PX = 4096
_PLATES = (0.0, 0.25, 0.5, 0.75, 1.0)
_OPAQUE = 255

_Rgb = npt.NDArray[np.uint8]
"""(H, W, 3) or (N, 3)."""
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LegendContrast:
    """How a legend stands out.

    Attributes:
        place: Keyboard, key and state.
        text: What is written; empty for a picture.
        ink: Its colour as it is seen; the mean of a picture's core.
        median: Contrast with the pixels beneath and beside it, 1 to 21.
        low: The contrast that nine tenths of those pixels reach.
    """

    place: str
    text: str
    ink: Rgb
    median: float
    low: float

    @property
    def is_legible(self) -> bool:
        """Whether it can be read."""
        return self.low >= MIN_CONTRAST


def measure_legends(board: Keyboard) -> tuple[LegendContrast, ...]:
    """Measure all legends of a keyboard: those of its keys when idle and pressed, of lists, of candidates.

    Args:
        board: Any keyboard. Foregrounds of keys count as legends, pictures as well as texts.
    """
    grounds = _KeyGrounds(board)
    found = [
        _of_key(f"{board.name}, {key.id}, {state}", seen)
        for key in board.keys
        if key.actions
        for state in _STATES
        for seen in _legends(grounds.seen(key, state))
    ]
    texts = [
        (f"list {number}", strip.text, _behind_list(board, strip))
        for number, strip in enumerate(board.lists)
        if strip.entries
    ]
    if board.bar is not None:
        texts.append(("candidates", board.bar.text, _behind_candidates(board, board.bar)))
        texts.append(("first candidate", board.bar.first_text, _behind_first(board, board.bar)))
    found += [
        _of_text(f"{board.name}, {name}", style.colour[:3], ground)
        for name, style, ground in texts
        if style is not None and len(ground)
    ]
    return tuple(found)


def make_legible(skin: Skin) -> Skin:
    """Return a skin whose legends can all be read; those that could be are as they were.

    Args:
        skin: Any skin; its legends are measured as :func:`measure_legends` does.
    """
    themes = (
        replace(theme, keyboards=tuple(_legible_board(board) for board in theme.keyboards))
        for theme in skin.themes
    )
    return replace(skin, themes=tuple(themes))


def _legible_board(board: Keyboard) -> Keyboard:
    if board.bar is not None:
        board = replace(board, bar=_legible_bar(board, board.bar))
    board = replace(board, lists=tuple(_legible_list(board, strip) for strip in board.lists))
    grounds = _KeyGrounds(board)
    keys = tuple(_legible_key(key, grounds) if key.actions else key for key in board.keys)
    return replace(board, keys=keys)


# --- what is seen ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Seen:
    """A legend in the pixels of its key.

    Attributes:
        paint: The legend.
        pixels: As it is drawn, on nothing, (h, w, 4).
        ground: What it lies on: cap, panel and lower foregrounds, (h, w, 3).
    """

    paint: Paint
    pixels: RgbaPixels
    ground: _Rgb

    @property
    def covered(self) -> _Mask:
        """The pixels that it covers."""
        alpha = self.pixels[..., 3]
        return np.asarray(alpha >= max(_FAINTEST, int(alpha.max()) / 2), bool)

    @property
    def beneath(self) -> _Mask:
        """The pixels that it lies on, and those right beside."""
        square = np.ones((2 * _BESIDE_PX + 1,) * 2, np.uint8)
        return np.asarray(cv2.dilate(self.covered.astype(np.uint8), square), bool)

    @property
    def ink(self) -> Rgb:
        """Its colour, a picture's that of its core, as it is seen on the middle colour of the ground."""
        if isinstance(self.paint, Tile):
            colour = _core_colour(self.paint.crop())
        else:
            colour = np.asarray(self.paint.colour, np.float64)
        share = colour[3] / _OPAQUE
        return _rgb(colour[:3] * share + np.median(self.ground[self.beneath], axis=0) * (1 - share))

    @property
    def low(self) -> float:
        """The contrast that nine tenths of the pixels beneath reach."""
        return contrast_with(self.ink, self.ground[self.beneath], LOW_SHARE)


class _KeyGrounds:
    """A keyboard drawn without the legends of its keys, idle and with all keys pressed."""

    def __init__(self, board: Keyboard) -> None:
        keys = tuple(replace(key, foregrounds=()) if key.actions else key for key in board.keys)
        self._board = replace(board, keys=keys, preedit=None)
        self._pictures = {
            "normal": _drawn(self._board),
            "pressed": _drawn(self._board, pressed=[key.id for key in keys]),
        }

    def seen(self, key: Key, state: State) -> list[_Seen | None]:
        """Return the foregrounds of a key as they are seen; None for those of which nothing is."""
        ground = _cut(self._pictures[state], self._board, key.rect)
        found: list[_Seen | None] = []
        for layer in key.foregrounds:
            paint = layer.appearance.paint(state)
            if paint is None or min(ground.shape[:2]) == 0:
                found.append(None)
                continue
            alone = replace(key, background=Layer(NOTHING), foregrounds=(layer,))
            pixels = render_key(alone, ground.shape[1], height_px=ground.shape[0], state=state)
            seen = _Seen(paint, pixels, ground)
            found.append(seen if seen.covered.any() else None)
            ground = _over(pixels, ground)
        return found


def _legends(layers: Sequence[_Seen | None]) -> Iterator[_Seen]:
    """Yield the layers that are legends, and not what a legend lies on."""
    visible = [layer for layer in layers if layer is not None]
    for number, layer in enumerate(visible):
        if not any(_lies_on(higher, layer) for higher in visible[number + 1 :]):
            yield layer


def _lies_on(higher: _Seen, lower: _Seen) -> bool:
    return bool(lower.covered[higher.covered].mean() >= _WITHIN)


def _core_colour(pixels: RgbaPixels) -> npt.NDArray[np.float64]:
    """Return the mean colour of a picture's most opaque pixels, and the alpha of the most opaque one."""
    top = int(pixels[..., 3].max())
    core = pixels[pixels[..., 3] >= max(1, _CORE * top)][:, :3]
    return np.append(core.mean(axis=0) if len(core) else np.zeros(3), top)


def _drawn(board: Keyboard, pressed: Sequence[str] = ()) -> _Rgb:
    return on_colour(render_keyboard(board, WIDTH_PX, pressed=pressed), _BEHIND)


def _cut(picture: _Rgb, board: Keyboard, rect: Rect) -> _Rgb:
    """Return the pixels of a rectangle of a drawn keyboard; none if it lies outside."""
    bounds = board.bounds
    unit = picture.shape[1] / bounds.width
    top, left = round((rect.y - bounds.y) * unit), round((rect.x - bounds.x) * unit)
    bottom, right = round((rect.bottom - bounds.y) * unit), round((rect.right - bounds.x) * unit)
    return picture[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]


def _behind_list(board: Keyboard, strip: KeyList) -> _Rgb:
    """Return the pixels behind a list's entries, (N, 3)."""
    empty = replace(strip, entries=(), values=(), always_shown=True)
    bare = replace(board, keys=(), lists=(empty,), preedit=None)
    return _sample(_cut(_drawn(bare), bare, strip.rect))


def _bar_alone(board: Keyboard, bar: CandidateBar) -> Keyboard:
    bar = replace(bar, always_shown=True, icons=())
    return replace(board, keys=(), lists=(), grid=None, bar=bar, preedit=None)


def _behind_candidates(board: Keyboard, bar: CandidateBar) -> _Rgb:
    """Return the pixels behind candidates, (N, 3)."""
    alone = _bar_alone(board, bar)
    return _sample(_cut(_drawn(alone), alone, bar.rect))


def _behind_first(board: Keyboard, bar: CandidateBar) -> _Rgb:
    """Return the pixels behind the first candidate, (N, 3).

    They are those of its cell, and of the bar without it, which is what formats show that have no cells.
    """
    alone = _bar_alone(board, bar)
    ground = _cut(_drawn(alone), alone, bar.rect)
    shown = [ground]
    for paint in (bar.first_cell.normal, bar.first_cell.pressed):
        if paint is not None and ground.size:
            shown.append(_over(render_paint(paint, (ground.shape[1], ground.shape[0])), ground))
    return np.concatenate([_sample(pixels) for pixels in shown])


def _sample(pixels: _Rgb) -> _Rgb:
    """Return pixels (h, w, 3) as (N, 3), of a large area some thousands, evenly spread."""
    flat = pixels.reshape(-1, 3)
    return flat[:: max(1, len(flat) // _SAMPLED_PX) | 1]


def _over(layer: RgbaPixels, ground: _Rgb) -> _Rgb:
    """Return a ground (h, w, 3) with a layer (h, w, 4) on it."""
    alpha = layer[..., 3:] / _OPAQUE
    return np.rint(layer[..., :3] * alpha + ground * (1 - alpha)).astype(np.uint8)


def _of_key(place: str, seen: _Seen) -> LegendContrast:
    text = seen.paint.text if isinstance(seen.paint, Lettering) else ""
    return replace(_of_text(place, seen.ink, seen.ground[seen.beneath]), text=text)


def _of_text(place: str, ink: Rgb, ground: _Rgb) -> LegendContrast:
    median, low = contrast_with(ink, ground, 0.5), contrast_with(ink, ground, LOW_SHARE)
    return LegendContrast(place, "", ink, median, low)


def _rgb(colour: npt.NDArray[np.floating]) -> Rgb:
    red, green, blue = (int(level) for level in np.rint(colour))
    return red, green, blue


# --- keys -----------------------------------------------------------------------------------------------


def _legible_key(key: Key, grounds: _KeyGrounds) -> Key:
    """Return a key with legends that can be read in both states, each on a plate if need be."""
    foregrounds: list[Layer] = []
    seen = {state: grounds.seen(key, state) for state in _STATES}
    for number, layer in enumerate(key.foregrounds):
        mended = {state: _mended(seen[state][number]) for state in _STATES}
        plates = [None if one is None else one.plate for one in mended.values()]
        if any(plates):
            foregrounds.append(Layer(Appearance(*plates)))
        paints = [
            layer.appearance.paint(state) if one is None else one.paint for state, one in mended.items()
        ]
        foregrounds.append(replace(layer, appearance=Appearance(*paints)))
    return replace(key, foregrounds=tuple(foregrounds))


@dataclass(frozen=True)
class _Mended:
    """A legend that can be read, and what must be laid beneath it."""

    paint: Paint
    plate: Tile | None


def _mended(seen: _Seen | None) -> _Mended | None:
    """Return what a legend becomes; None if it can be read as it is, or cannot be seen at all."""
    if seen is None or seen.low >= _WANTED:
        return None
    middle = _rgb(np.median(seen.ground[seen.beneath], axis=0))
    for opacity in _PLATES:
        plate = _plate(seen.beneath, middle, opacity)
        on_plate = replace(seen, ground=_over(plate, seen.ground))
        chosen = legible_colour(on_plate.ground[seen.beneath], seen.ink, _WANTED)
        if seen.low >= _ENOUGH and chosen.ratio < _WANTED:
            return None
        if chosen.ratio >= _ENOUGH:
            break
    return _Mended(_inked(seen.paint, (*chosen.colour, _OPAQUE)), _stretched(plate) if opacity else None)


def _plate(beneath: _Mask, colour: Rgb, opacity: float) -> RgbaPixels:
    """Return a picture of a colour where a legend lies, fading out around it."""
    grown = cv2.dilate(beneath.astype(np.float32), np.ones((2 * _PLATE_MARGIN_PX + 1,) * 2, np.uint8))
    faded = np.maximum(cv2.GaussianBlur(grown, (0, 0), _PLATE_MARGIN_PX / 2), beneath)
    plate = np.empty((*beneath.shape, 4), np.uint8)
    plate[..., :3] = colour
    plate[..., 3] = np.rint(faded * opacity * _OPAQUE)
    return plate


def _inked(paint: Paint, ink: Rgba) -> Paint:
    """Return a legend in an ink, opaque in its core."""
    if isinstance(paint, Lettering | Fill):
        return replace(paint, colour=ink)
    pixels = paint.crop().copy()
    pixels[..., :3] = ink[:3]
    alpha = pixels[..., 3] / (_CORE * max(1, int(pixels[..., 3].max())))
    pixels[..., 3] = np.rint(np.minimum(alpha, 1) * _OPAQUE)
    height, width = pixels.shape[:2]
    return replace(paint, atlas=Atlas("legend", pixels), source=Rect(0, 0, width, height))


def _stretched(pixels: RgbaPixels) -> Tile:
    return Tile(Atlas("plate", pixels), Rect(0, 0, pixels.shape[1], pixels.shape[0]), "stretch")


# --- lists and bars -------------------------------------------------------------------------------------


def _legible_list(board: Keyboard, strip: KeyList) -> KeyList:
    """Return a list whose entries can be read, its background made plainer if need be."""
    ground = _behind_list(board, strip)
    if strip.text is None or not strip.entries or not len(ground):
        return strip
    middle = _rgb(np.median(ground, axis=0))
    for opacity in _PLATES:
        plainer = replace(strip, background=_plainer(strip.background, middle, opacity))
        style = _readable(strip.text, _behind_list(board, plainer))
        if style is not None:
            return replace(plainer, text=style)
    raise AssertionError("black or white can be read on a plain colour")


def _legible_bar(board: Keyboard, bar: CandidateBar) -> CandidateBar:
    """Return a bar whose candidates can be read, its background made plainer if need be."""
    ground = _behind_candidates(board, bar)
    if bar.text is None or not len(ground):
        return bar
    middle = _rgb(np.median(ground, axis=0))
    for opacity in _PLATES:
        plainer = replace(bar, background=_plainer(bar.background, middle, opacity))
        style = _readable(bar.text, _behind_candidates(board, plainer))
        if style is not None:
            return _with_legible_first(board, replace(plainer, text=style), middle)
    raise AssertionError("black or white can be read on a plain colour")


def _with_legible_first(board: Keyboard, bar: CandidateBar, middle: Rgb) -> CandidateBar:
    """Return a bar whose first candidate can be read in its cell and, for formats without cells, on the bar.

    Args:
        board: The bar's keyboard.
        bar: On which other candidates can be read.
        middle: The bar's middle colour, towards which the cell goes as far as need be.
    """
    style = bar.first_text or bar.text
    assert style is not None, "a bar without text style is left alone"
    for opacity in _PLATES:
        cell = bar.first_cell if bar.first_cell.is_empty else _plainer(bar.first_cell, middle, opacity)
        plainer = replace(bar, first_cell=cell)
        readable = _readable(style, _behind_first(board, plainer))
        if readable is not None:
            return replace(plainer, first_text=readable)
    return replace(bar, first_cell=bar.cell, first_text=bar.text)


def _readable(style: TextStyle, ground: _Rgb) -> TextStyle | None:
    """Return a style in the nearest shades of its colours that can be read on a ground; None without any."""
    colours = []
    for colour in (style.colour, style.pressed_colour):
        wanted = colour[:3]
        if contrast_with(wanted, ground, LOW_SHARE) >= _ENOUGH and colour[3] == _OPAQUE:
            colours.append(colour)
            continue
        chosen = legible_colour(ground, wanted, _WANTED)
        if chosen.ratio < _ENOUGH:
            return None
        colours.append((*chosen.colour, _OPAQUE))
    return replace(style, colour=colours[0], pressed_colour=colours[1])


def _plainer(look: Appearance, middle: Rgb, opacity: float) -> Appearance:
    """Return a background that has gone a part of the way to a plain colour."""
    if not opacity:
        return look
    return Appearance(*(_plainer_paint(paint, middle, opacity) for paint in (look.normal, look.pressed)))


def _plainer_paint(paint: Paint | None, middle: Rgb, opacity: float) -> Paint:
    if not isinstance(paint, Tile):
        return Fill((*middle, round(opacity * _OPAQUE)))
    pixels = paint.crop().astype(np.float32)
    pixels[..., :3] += opacity * (np.asarray(middle, np.float32) - pixels[..., :3])
    pixels[..., 3] = np.maximum(pixels[..., 3], opacity * _OPAQUE)
    height, width = pixels.shape[:2]
    atlas = Atlas(paint.atlas.name, np.rint(pixels).astype(np.uint8))
    return replace(paint, atlas=atlas, source=Rect(0, 0, width, height))
