"""Drawing a whole keyboard skin from a seed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
import numpy.typing as npt

from skin_pipeline.colours import Rgb
from skin_pipeline.errors import ConfigurationError
from skin_pipeline.skins.drawn.backgrounds import blurred, paint_background
from skin_pipeline.skins.drawn.icons import icon_mask
from skin_pipeline.skins.drawn.keys import KeyLook, key_coverage, key_sprite
from skin_pipeline.skins.drawn.layouts import (
    ICONS,
    LAYOUT_NAMES,
    Key,
    Keyboard,
    LayoutName,
    Role,
    place_keyboard,
)
from skin_pipeline.skins.drawn.legends import Canvas, em_for, is_chinese, tint, write
from skin_pipeline.skins.drawn.palettes import Paint, SkinStyle, choose_style
from skin_pipeline.typefaces import font_path

MIN_SIDE_PX = 64
_MAX_CIRCLE_ASPECT = 1.35
"""Keys longer than this are pills where others are circles: their legends would not fit a circle."""
_LEGEND_WIDTH = 0.82
"""Width of the longest legend, in widths of its key."""
_WORD_SHARE = 0.85
"""Height of capitals in words of function keys ("Space"), in heights of a letter key's capital."""
_CHINESE_SHARE = 1.15
"""Height of ideographs, in heights of a letter key's capital."""
_MAX_WORD_GROWTH = 1.2
"""Em of Latin words, in em of the letters, at most."""
_MAX_CHINESE_GROWTH = 1.25
"""Em of Chinese words, in em of the letters, at most."""
_HINT_SHARE = 0.42
"""Height of a hint, in heights of a letter key's capital."""
_LIGHT_WIDTH = 0.2
"""Width that a sun or moon takes of the bar."""
_FROST_BLUR = 0.16
"""Standard deviation of the blur seen through glass keys, in heights of a letter key."""

LegendKind = Literal["letter", "word"]
_Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class DrawnLegend:
    """A legend of a drawn skin.

    Attributes:
        text: What it says.
        quad: (4, 2) corners of its ink with a small margin, in pixels, TL TR BR BL.
        kind: 'letter' for one character, 'word' for more.
    """

    text: str
    quad: npt.NDArray[np.float64]
    kind: LegendKind


@dataclass(frozen=True)
class DrawnSkin:
    """A drawn keyboard skin and what is known about it.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        legends: Everything written on keys and bar, but for icons, lone punctuation marks and hints.
        key_boxes: (K, 4) boxes of the keys, xyxy in pixels.
        keyboard: What is written on the keys and what they do, in the order of their boxes.
        style: Colours, pattern, shapes.
    """

    image: npt.NDArray[np.uint8]
    legends: tuple[DrawnLegend, ...]
    key_boxes: npt.NDArray[np.float64]
    keyboard: Keyboard
    style: SkinStyle

    @property
    def layout(self) -> LayoutName:
        """'26_key' or '9_key'."""
        return self.keyboard.name


def draw_skin(seed: int, *, width_px: int, height_px: int, layout: LayoutName | None = None) -> DrawnSkin:
    """Draw a keyboard skin; the same arguments give the same bytes.

    The design (layout, colours, pattern, words) depends on the seed and the layout only, so a seed looks
    the same at every size.

    Args:
        seed: Any integer.
        width_px: Width of the picture, at least 64.
        height_px: Height of the picture, at least 64.
        layout: '26_key' or '9_key'; chosen by the seed if None.

    Raises:
        ConfigurationError: The picture is too small or the layout is unknown.
    """
    if min(width_px, height_px) < MIN_SIDE_PX:
        raise ConfigurationError(
            f"A drawn skin must be at least {MIN_SIDE_PX} px a side, got {width_px}x{height_px}."
        )
    if layout is not None and layout not in LAYOUT_NAMES:
        raise ConfigurationError(f"layout must be one of {', '.join(LAYOUT_NAMES)}, got {layout!r}.")
    lots = Random(f"skin {seed}: layout")  # noqa: S311  (a design, not a secret)
    name = layout or ("26_key" if lots.random() < 0.6 else "9_key")
    keyboard = place_keyboard(lots, name, "zh" if lots.random() < 0.55 else "en")
    style = choose_style(Random(f"skin {seed}: style"), name)  # noqa: S311
    pattern_lots = Random(f"skin {seed}: pattern")  # noqa: S311
    bar_height = keyboard.bar[3] if keyboard.bar is not None else 0.0
    canvas = paint_background(pattern_lots, style, width_px, height_px, bar_height)
    return _Drawing(canvas, keyboard, style).finish()


class _Drawing:
    """A skin in the making."""

    def __init__(self, canvas: Canvas, keyboard: Keyboard, style: SkinStyle) -> None:
        self._canvas = canvas
        self._keyboard = keyboard
        self._style = style
        self._size = (canvas.shape[1], canvas.shape[0])
        self._boxes = [self._pixel_box(key) for key in keyboard.keys]
        heights = [
            box[3] - box[1]
            for key, box in zip(keyboard.keys, self._boxes, strict=True)
            if key.role == "letter"
        ]
        self._unit_px = float(np.median(heights))
        self._legends: list[DrawnLegend] = []

    def finish(self) -> DrawnSkin:
        """Draw bar, keys and legends over the background."""
        self._draw_bar()
        self._draw_keys()
        self._write_legends()
        boxes = np.asarray(self._boxes, np.float64)
        return DrawnSkin(self._canvas, tuple(self._legends), boxes, self._keyboard, self._style)

    # --- keys ---

    def _pixel_box(self, key: Key) -> _Box:
        """Return a key's box on whole pixels, which keeps straight edges crisp."""
        width, height = self._size
        x0, y0, x1, y1 = (round(v * s) for v, s in zip(key.box, (width, height, width, height), strict=True))
        aspect = max((x1 - x0) / (y1 - y0), (y1 - y0) / (x1 - x0))
        if self._style.key_shape == "circle" and aspect < _MAX_CIRCLE_ASPECT:
            inset_x, inset_y = max(0, x1 - x0 - (y1 - y0)) // 2, max(0, y1 - y0 - (x1 - x0)) // 2
            return x0 + inset_x, y0 + inset_y, x1 - inset_x, y1 - inset_y
        return x0, y0, x1, y1

    def _draw_keys(self) -> None:
        frost = (
            blurred(self._canvas, self._unit_px * _FROST_BLUR) if self._style.key_finish == "glass" else None
        )
        for key, (x0, y0, x1, y1) in zip(self._keyboard.keys, self._boxes, strict=True):
            look = self._look(key.role)
            if frost is not None and look.alpha < 1:
                region = self._canvas[y0:y1, x0:x1]
                tint(region, key_coverage(look, x1 - x0, y1 - y0), frost[y0:y1, x0:x1])
            key_sprite(look, x1 - x0, y1 - y0).lay_on(self._canvas, x0, y0)

    def _look(self, role: Role) -> KeyLook:
        style = self._style
        accented = self._is_accented(role)
        fill = style.accent if accented else style.key if role == "letter" else style.function_key
        opaque_accent = accented and style.key_finish != "outlined"
        return KeyLook(
            shape=style.key_shape,
            finish=style.key_finish,
            fill=fill.rgb,
            alpha=1.0 if opaque_accent else style.key_alpha,
            border=None if style.key_border is None or opaque_accent else style.key_border.rgb,
            roundness=style.key_roundness,
            unit_px=self._unit_px,
        )

    def _is_accented(self, role: Role) -> bool:
        return role == "enter" or (role == "space" and self._style.accented_space)

    def _ink(self, role: Role) -> Paint:
        style = self._style
        if self._is_accented(role) and style.key_finish != "outlined":
            return style.accent_legend
        return style.legend if role == "letter" else style.function_legend

    # --- legends ---

    def _draw_bar(self) -> None:
        bar, style = self._keyboard.bar, self._style
        if bar is None:
            return
        width, height = self._size
        bottom = round(bar[3] * height)
        if style.bar is not None:
            self._canvas[:bottom] = style.bar.rgb
        # A sun or moon takes the bar's left.
        left = _LIGHT_WIDTH * width if style.has_light else 0.0
        ink, slot_px = style.bar_legend.rgb, (width - left) / len(self._keyboard.bar_items)
        words = [text for text, _ in self._keyboard.bar_items if not _is_icon(text)]
        em = min((self._bar_em(word, bottom, slot_px) for word in words), default=0.0)
        for text, x in self._keyboard.bar_items:
            centre = (left + x * (width - left), bottom / 2)
            if _is_icon(text):
                self._stamp_icon(text, centre, 0.5 * bottom, ink)
            else:
                self._write(text, em, centre, ink)

    def _bar_em(self, word: str, bar_px: int, slot_px: float) -> float:
        share = 0.46 if is_chinese(word) else 0.36
        return em_for(word, self._font(word), share * bar_px, 0.86 * slot_px)

    def _write_legends(self) -> None:
        sizes = self._legend_sizes()
        for key, box in zip(self._keyboard.keys, self._boxes, strict=True):
            centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            ink = self._ink(key.role).rgb
            if key.role == "list":
                self._write_list(key.text, box, ink)
            elif _is_icon(key.text):
                side = min(
                    1.25 * self._style.legend_share * self._unit_px,
                    0.62 * min(box[2] - box[0], box[3] - box[1]),
                )
                self._stamp_icon(key.text, centre, side, ink)
            else:
                self._write(key.text, sizes[key.text], centre, ink)
            if key.hint and self._style.key_shape in ("square", "rounded"):
                self._write_hint(key.hint, box, ink)

    def _legend_sizes(self) -> Mapping[str, float]:
        """Return the em size of each legend.

        Legends of letter keys share one size, the largest that fits all of them. Words share the median of
        theirs and are smaller only where a key is too narrow; they do not outgrow the letters by much.
        """
        fits: dict[tuple[bool, bool], dict[str, float]] = defaultdict(dict)
        for key, box in zip(self._keyboard.keys, self._boxes, strict=True):
            if key.role != "list" and not _is_icon(key.text):
                is_letter = key.role == "letter"
                fits[is_letter, is_chinese(key.text)][key.text] = self._em_that_fits(key.text, box, is_letter)
        letter_em = min(fits[True, False].values())
        sizes: dict[str, float] = {}
        for (is_letter, chinese), group in fits.items():
            common = letter_em if is_letter and not chinese else float(np.median(list(group.values())))
            growth = _MAX_CHINESE_GROWTH if chinese else _MAX_WORD_GROWTH
            sizes |= {text: min(em, common, growth * letter_em) for text, em in group.items()}
        return sizes

    def _em_that_fits(self, text: str, box: _Box, is_letter: bool) -> float:
        share = self._style.legend_share
        if is_chinese(text):
            share *= _CHINESE_SHARE
        elif len(text) > 1 and not is_letter:
            share *= _WORD_SHARE
        room = _LEGEND_WIDTH * (box[2] - box[0])
        return em_for(text, self._font(text), share * self._unit_px, room)

    def _font(self, text: str) -> Path:
        return font_path(self._style.chinese_typeface if is_chinese(text) else self._style.latin_typeface)

    def _write(self, text: str, em_px: float, centre: tuple[float, float], ink: Rgb) -> None:
        quad = write(self._canvas, text, self._font(text), em_px, centre, ink)
        if any(character.isalnum() for character in text):
            self._legends.append(DrawnLegend(text, quad, "letter" if len(text) == 1 else "word"))

    def _write_list(self, marks: Sequence[str], box: _Box, ink: Rgb) -> None:
        """Write marks under each other on a tall key."""
        pitch = (box[3] - box[1]) / len(marks)
        for index, mark in enumerate(marks):
            centre = ((box[0] + box[2]) / 2, box[1] + (index + 0.5) * pitch)
            self._write(mark, 0.5 * self._unit_px, centre, ink)

    def _write_hint(self, hint: str, box: _Box, ink: Rgb) -> None:
        """Write a small second legend into the upper right corner."""
        path = self._font(hint)
        em = em_for(
            hint, path, _HINT_SHARE * self._style.legend_share * self._unit_px, 0.2 * (box[2] - box[0])
        )
        centre = (box[2] - 0.15 * (box[2] - box[0]), box[1] + 0.14 * (box[3] - box[1]))
        write(self._canvas, hint, path, em, centre, ink)

    def _stamp_icon(self, name: str, centre: tuple[float, float], side_px: float, ink: Rgb) -> None:
        side = max(4, round(side_px))
        x, y = round(centre[0] - side / 2), round(centre[1] - side / 2)
        tint(self._canvas[y : y + side, x : x + side], icon_mask(name[1:], side), ink)


def _is_icon(text: str) -> bool:
    return text.startswith("@") and text[1:] in ICONS
