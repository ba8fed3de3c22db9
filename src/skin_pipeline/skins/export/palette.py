"""The colours of a keyboard, for formats that want colours where the skin has pictures.

Every ground is measured on a rendering of the keyboard, and every text colour is chosen to be legible on the
pixels that will really lie behind it (:mod:`skin_pipeline.skins.contrast`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from skin_pipeline.colours import Rgb, relative_luminance
from skin_pipeline.skins.contrast import LegibleColour, legible_colour
from skin_pipeline.skins.export.packages import Losses
from skin_pipeline.skins.model import (
    CandidateBar,
    Function,
    Key,
    Keyboard,
    Lettering,
    Rect,
    RgbaPixels,
    TextStyle,
)
from skin_pipeline.skins.rendering import on_colour, render_keyboard

_WIDTH_PX = 720
_DARK_LUMINANCE = 0.18
"""Below this, white is read more easily than black: both have a contrast of 4.6 on it (WCAG 2.1)."""
_BEHIND: Rgb = (255, 255, 255)


@dataclass(frozen=True)
class Ground:
    """A plain colour that stands for a picture, and text on both.

    Attributes:
        colour: The median of the picture's pixels.
        text: Legible on that colour.
        on_picture: Legible on the middle of the picture itself, as far as any colour is.
    """

    colour: Rgb
    text: LegibleColour
    on_picture: LegibleColour


@dataclass(frozen=True)
class Palette:
    """The colours of a keyboard.

    Attributes:
        is_dark: Whether the panel is dark.
        panel: Behind the keys.
        bar: Behind candidates; its text is legible on every pixel of the bar's picture.
        letter: Letter keys.
        function: Shift, backspace and their like.
        enter: The enter key: a skin's accent.
        space: The space bar.
        pressed: A letter key under the finger.
        picture: (H, W, 3) bar and panel without keys.
    """

    is_dark: bool
    panel: Ground
    bar: Ground
    letter: Ground
    function: Ground
    enter: Ground
    space: Ground
    pressed: Ground
    picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

    def grounds(self) -> dict[str, Ground]:
        """Return all grounds by name."""
        return {
            "panel": self.panel,
            "bar": self.bar,
            "letter keys": self.letter,
            "function keys": self.function,
            "enter": self.enter,
            "space": self.space,
            "pressed keys": self.pressed,
        }


def palette_of(keyboard: Keyboard, title: str, losses: Losses) -> Palette:
    """Measure the colours of a keyboard.

    Args:
        keyboard: What is measured.
        title: Its name, for losses.
        losses: Takes grounds on which no text is legible.
    """
    bare = replace(_steady(keyboard), keys=(), lists=(), grid=None)
    picture = on_colour(render_keyboard(bare, _WIDTH_PX), _BEHIND)
    letter = _first_key(keyboard, (Function.LETTER, Function.TEXT))
    panel_colour = _median(_cut(picture, keyboard, keyboard.panel))
    bar_pixels = _cut(picture, keyboard, keyboard.bar.rect) if keyboard.bar else picture
    bar_text = legible_colour(bar_pixels, _colour_of(keyboard.bar.text if keyboard.bar else None))

    def ground(key: Key | None, *, pressed: bool = False) -> Ground:
        if key is None:
            text = legible_colour(_flat(panel_colour))
            return Ground(panel_colour, text, text)
        cap = _cap(keyboard, key, pressed=pressed)
        colour, wanted = _median(cap), _legend_colour(key, pressed=pressed)
        return Ground(colour, legible_colour(_flat(colour), wanted), legible_colour(_middle(cap), wanted))

    function = _first_key(
        keyboard, (Function.BACKSPACE, Function.SHIFT, Function.CAPS_LOCK, Function.NUMBERS)
    )
    palette = Palette(
        is_dark=relative_luminance(panel_colour) < _DARK_LUMINANCE,
        panel=ground(None),
        bar=Ground(_median(bar_pixels), bar_text, bar_text),
        letter=ground(letter),
        function=ground(function or letter),
        enter=ground(_first_key(keyboard, (Function.ENTER,)) or function or letter),
        space=ground(_first_key(keyboard, (Function.SPACE,)) or letter),
        pressed=ground(letter, pressed=True),
        picture=picture,
    )
    for name, measured in palette.grounds().items():
        if not measured.text.is_legible:
            losses.add(
                f"{title}, {name}", f"legible text: at most {measured.text.ratio:.1f}:1", "the best is used"
            )
    return palette


def _steady(keyboard: Keyboard) -> Keyboard:
    """Return a keyboard whose bar is there, without what lies on the bar."""
    if keyboard.bar is None:
        return keyboard
    bar: CandidateBar = replace(keyboard.bar, always_shown=True, icons=())
    return replace(keyboard, bar=bar, preedit=None)


def _first_key(keyboard: Keyboard, functions: Iterable[Function]) -> Key | None:
    found = (keyboard.key(function) for function in functions)
    return next((key for key in found if key is not None), None)


def _cap(keyboard: Keyboard, key: Key, *, pressed: bool) -> RgbaPixels:
    """Return the pixels that lie behind a key's legend: its cap on the panel."""
    cap = replace(key, foregrounds=())
    board = replace(_steady(keyboard), keys=(cap,), lists=(), grid=None)
    drawn = on_colour(render_keyboard(board, _WIDTH_PX, pressed=[key.id] if pressed else []), _BEHIND)
    return _cut(drawn, board, key.rect)


def _cut(picture: RgbaPixels, keyboard: Keyboard, rect: Rect) -> RgbaPixels:
    """Return the pixels of a rectangle of a rendering."""
    bounds = _steady(keyboard).bounds
    scale = picture.shape[1] / bounds.width
    top, left = round((rect.y - bounds.y) * scale), round((rect.x - bounds.x) * scale)
    height, width = max(1, round(rect.height * scale)), max(1, round(rect.width * scale))
    top, left = max(0, min(top, picture.shape[0] - 1)), max(0, min(left, picture.shape[1] - 1))
    return picture[top : top + height, left : left + width]


def _median(pixels: RgbaPixels) -> Rgb:
    red, green, blue = (
        int(value) for value in np.median(pixels.reshape(-1, pixels.shape[-1])[:, :3], axis=0)
    )
    return red, green, blue


def _middle(pixels: RgbaPixels) -> RgbaPixels:
    """Return the middle of a cap, where its legend lies."""
    rows, columns = (slice(side // 4, max(side // 4 + 1, side * 3 // 4)) for side in pixels.shape[:2])
    return pixels[rows, columns]


def _flat(colour: Rgb) -> RgbaPixels:
    return np.asarray([[colour]], np.uint8)


def _colour_of(style: TextStyle | None) -> Rgb | None:
    return style.colour[:3] if style is not None and style.colour[3] else None


def _legend_colour(key: Key, *, pressed: bool) -> Rgb | None:
    """Return the colour of a key's text, if it has any."""
    paints = [layer.appearance.paint("pressed" if pressed else "normal") for layer in key.foregrounds]
    return next((paint.colour[:3] for paint in paints if isinstance(paint, Lettering)), None)
