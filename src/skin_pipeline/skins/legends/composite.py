"""Exact legends over a picture of keys.

A model draws keys well long before it draws what is written on them. Here the writing is set: what the
picture has in the place of each legend is taken away (:mod:`.erasing`), its style is measured over all
legends (:mod:`.style`), and the text is set in one of the typefaces of this package, on common lines and in
common sizes (:mod:`.placing`), in an ink that can be read on what lies beneath.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.colours import Rgb, relative_luminance
from skin_pipeline.errors import ConfigurationError, InputError
from skin_pipeline.geometry import Window, quads_inside
from skin_pipeline.skins.contrast import contrast_with
from skin_pipeline.skins.legends.erasing import Drawn, Mask, Rgb3, find_drawn, grown, window_around
from skin_pipeline.skins.legends.placing import Coverage, Line, Spot, find_spots, set_lines
from skin_pipeline.skins.legends.style import Shadow, common_inks, find_shadow, ink_of, most_alike, strokes_of
from skin_pipeline.typefaces import (
    CHINESE_TYPEFACES,
    DISPLAY_TYPEFACES,
    LATIN_TYPEFACES,
    font_path,
    missing_glyphs,
)

LOW_SHARE = 0.1
"""A legend is judged by the contrast that all but this share of the pixels beneath and beside it reach."""

_WANTED = 4.55
"""The contrast that inks are chosen for: a little more than WCAG's 4.5, as levels are rounded. On a plain
colour black or white always has 4.58."""
_OUTSIDE_PX = 1.0
_COVERED = 0.35
_BESIDE, _LEAST_BESIDE_PX = 0.04, 1
"""How near to the ink a pixel counts as what the legend is seen against, in em, and in pixels at least."""
_SCALES = (1.0, 0.82, 0.88, 0.94, 1.06)
_PLATE_MARGIN = 0.16
_SHADES = 21
_PLATES = ((0.0, 0.0), (0.25, 0.0), (0.5, 0.0), (0.75, 0.0), (0.75, 0.15), (0.75, 0.3), (1.0, 0.3))
"""Opacity, and how far the plate's colour goes away from the ink."""

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) sRGB."""


@dataclass(frozen=True)
class SetLegend:
    """A legend as it was set.

    Attributes:
        line: Text, typeface, place and size.
        ink: Its colour.
        contrast: WCAG 2.1's ratio that nine tenths of the pixels beneath and beside it reach, 1 to 21.
        plate: Opacity of the plate beneath it; 0 where the face was plain enough.
    """

    line: Line
    ink: Rgb
    contrast: float
    plate: float


@dataclass(frozen=True)
class Composited:
    """A picture with exact legends.

    Attributes:
        picture: (H, W, 3) uint8.
        legends: As they were set, in their order.
        shadow: What they have in common beside ink and typeface.
    """

    picture: Picture
    legends: tuple[SetLegend, ...]
    shadow: Shadow | None


def composite_legends(
    picture: Picture,
    quads: npt.ArrayLike,
    texts: Sequence[str],
    *,
    inset: float = 0.0,
    font: Path | None = None,
) -> Composited:
    """Write legends over what a picture has in their places, in its own style.

    Args:
        picture: (H, W, 3) uint8 RGB; it is not changed.
        quads: Where legends belong, (N, 4, 2), pixels, TL TR BR BL of the text. Several characters in a quad
            1.5 times as high as wide run downwards.
        texts: What they say, N lines.
        inset: How far quads are drawn in, in units of their shorter side: what they leave around the ink.
        font: A .ttf or .otf file to write with; by default the shipped typeface most like what is drawn.

    Returns:
        The picture, and how each legend was set. The same input gives the same pixels.

    Raises:
        InputError: Quads and texts differ in number, a quad has no area or lies outside the picture.
        ConfigurationError: The font, or every shipped one, lacks a character.
    """
    refuse_missing_characters(texts, font)
    spots = find_spots(quads, texts, inset)
    _refuse_outside(quads, texts, picture)
    if not spots:
        return Composited(picture.copy(), (), None)
    plain_font = font or font_path(CHINESE_TYPEFACES[0])
    plain = set_lines(spots, lambda _: plain_font)
    drawn = [find_drawn(picture, *each) for each in zip(spots, plain, strict=True)]
    inks = [ink_of(one) for one in drawn]
    strokes = [strokes_of(*each) for each in zip(drawn, inks, strict=True)]
    lines = _lines_like(spots, drawn, strokes, font)
    shadow = find_shadow(drawn, inks, lines)
    canvas = picture.astype(np.float32)
    for one in drawn:
        canvas[one.window.slices] = one.taken_from(canvas[one.window.slices])
    colours = common_inks(drawn, inks)
    return _written(canvas, lines, colours, shadow)


def refuse_missing_characters(
    texts: Sequence[str], font: Path | None = None, option: str = "inference.legend_font"
) -> None:
    """Raise if a character of some legends cannot be written.

    Args:
        texts: Legends.
        font: A font file; by default the shipped typefaces.
        option: The parameter that names the font, for the error.

    Raises:
        ConfigurationError: The font, or the shipped typefaces, lack one.
    """
    path = font or font_path(CHINESE_TYPEFACES[0])
    lacking = sorted(missing_glyphs("".join(texts), path))
    if lacking:
        text = next(text for text in texts if set(text) & set(lacking))
        raise ConfigurationError(
            f"The legend '{text}' cannot be written: {path.name} has no glyph for {', '.join(lacking)}. Name"
            f" another font in {option}, or write something else."
        )


def _refuse_outside(quads: npt.ArrayLike, texts: Sequence[str], picture: Picture) -> None:
    size = (picture.shape[1], picture.shape[0])
    for inside, text in zip(quads_inside(quads, size, _OUTSIDE_PX), texts, strict=True):
        if not inside:
            raise InputError(
                f"The quad of the legend '{text}' lies partly outside the picture of {size[0]}x{size[1]} px."
            )


# --- typefaces --------------------------------------------------------------------------------------------


def _lines_like(
    spots: Sequence[Spot], drawn: Sequence[Drawn], strokes: Sequence[Coverage], font: Path | None
) -> list[Line]:
    """Set legends in typefaces and a size most like what is drawn.

    There is one typeface for Latin legends, one for all others, and one scale.
    """
    plain = font or font_path(CHINESE_TYPEFACES[0])
    fonts = {True: plain, False: plain}

    def set_at(scale: float) -> list[Line]:
        return set_lines(spots, lambda text: fonts[text.isascii()], scale)

    scale = most_alike(_SCALES, drawn, strokes, set_at)
    for is_latin in (True, False):
        members = [index for index, spot in enumerate(spots) if spot.text.isascii() == is_latin]
        typefaces = [font] if font else _able([spots[index].text for index in members], is_latin)
        seen = [drawn[index] for index in members], [strokes[index] for index in members]
        fonts[is_latin] = most_alike(typefaces, *seen, partial(_set_members, spots, members, scale))
    return set_at(most_alike(_SCALES, drawn, strokes, set_at))


def _able(texts: Sequence[str], is_latin: bool) -> list[Path]:
    """Return the typefaces that have all characters of some texts, plain ones first."""
    names = (*CHINESE_TYPEFACES, *(LATIN_TYPEFACES if is_latin else ()), *DISPLAY_TYPEFACES)
    return [path for path in map(font_path, names) if not missing_glyphs("".join(texts), path)]


def _set_members(spots: Sequence[Spot], members: Sequence[int], scale: float, font: Path) -> list[Line]:
    lines = set_lines(spots, lambda _: font, scale)
    return [lines[index] for index in members]


# --- writing ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """A line on its ground.

    Attributes:
        line: What is written.
        window: The part of the picture that arrays are of.
        covered: How much of each pixel its ink covers, (h, w).
        ground: What lies beneath, (h, w, 3).
        plate: Opacity of the plate that was laid on the ground.
    """

    line: Line
    window: Window
    covered: Coverage
    ground: Picture
    plate: float = 0.0

    @property
    def beneath(self) -> Mask:
        """The pixels that the ink lies on, and those right beside."""
        beside = max(_LEAST_BESIDE_PX, round(_BESIDE * self.line.em_px))
        return grown(self.covered >= min(_COVERED, float(self.covered.max())), beside)

    def contrast(self, ink: Rgb) -> float:
        """Return the contrast that nine tenths of the pixels beneath reach."""
        return contrast_with(ink, self.ground[self.beneath], LOW_SHARE)

    def shade(self, ink: Rgb, is_dark: bool) -> Rgb | None:
        """Return the ink as it is if it can be read, or as much darker or lighter as need be.

        Args:
            ink: The colour wanted.
            is_dark: Whether to go towards black, else towards white.

        Returns:
            The shade; None if not even black or white can be read.
        """
        end = np.full(3, 0.0 if is_dark else 255.0)
        for share in np.linspace(0, 1, _SHADES):
            red, green, blue = (int(level) for level in np.rint(np.asarray(ink) + share * (end - ink)))
            if self.contrast((red, green, blue)) >= _WANTED:
                return red, green, blue
        return None

    def plated(self, opacity: float, away: float, is_dark: bool) -> _Place:
        """Return it with a soft plate beneath, of the ground's middle colour.

        Args:
            opacity: Of the plate, 0 to 1.
            away: How far its colour goes towards white beneath dark ink, towards black beneath light, 0 to 1.
            is_dark: Whether the ink is dark.
        """
        if not opacity:
            return self
        middle = np.median(self.ground[self.beneath], axis=0)
        middle = middle + away * ((255.0 if is_dark else 0.0) - middle)
        margin = max(1, round(_PLATE_MARGIN * self.line.em_px))
        soft = cv2.GaussianBlur(grown(self.beneath, margin).astype(np.float32), (0, 0), margin / 2)
        share = opacity * np.maximum(soft, self.beneath)[..., None]
        return replace(self, ground=_levels(self.ground + share * (middle - self.ground)), plate=opacity)


def _written(
    canvas: Rgb3, lines: Sequence[Line], colours: Sequence[Rgb], shadow: Shadow | None
) -> Composited:
    """Write lines on a canvas, in place: shadows, then plates, then ink."""
    covered = [_covered(line, canvas) for line in lines]
    if shadow is not None:
        for line, (window, coverage) in zip(lines, covered, strict=True):
            canvas[window.slices] = shadow.on(canvas[window.slices], coverage, line.em_px)
    places = [
        _Place(line, window, coverage, _levels(canvas[window.slices]))
        for line, (window, coverage) in zip(lines, covered, strict=True)
    ]
    plated = _share_shades([_legible(*each) for each in zip(places, colours, strict=True)], colours)
    for place, mended in zip(places, plated, strict=True):
        canvas[place.window.slices] += mended.place.ground.astype(np.float32) - place.ground
    for mended in plated:
        place = mended.place
        patch = canvas[place.window.slices]
        patch += place.covered[..., None] * (np.asarray(mended.ink, np.float32) - patch)
    legends = tuple(
        SetLegend(one.place.line, one.ink, one.place.contrast(one.ink), one.place.plate) for one in plated
    )
    return Composited(_levels(canvas), legends, shadow)


def _covered(line: Line, canvas: Rgb3) -> tuple[Window, Coverage]:
    window = window_around(line.quad, round(line.em_px / 2) + _LEAST_BESIDE_PX, canvas.shape)
    return window, line.coverage(window.left, window.top, window.width, window.height)


@dataclass(frozen=True)
class _Mended:
    """A legend that can be read."""

    place: _Place
    ink: Rgb


def _legible(place: _Place, ink: Rgb) -> _Mended:
    """Choose the ink of a legend, near the one wanted; if need be lay a plate beneath, as thin as will do.

    Dark ink stays dark and light ink light, as long as that can be read on any plate.
    """
    ground = np.median(place.ground[place.beneath], axis=0)
    is_dark = relative_luminance(ink) < relative_luminance(ground)
    for side in (is_dark, not is_dark):
        for opacity, away in _PLATES:
            plated = place.plated(opacity, away, side)
            shade = plated.shade(ink, side)
            if shade is not None:
                return _Mended(plated, shade)
    raise AssertionError("black or white can be read on a plain colour")


def _share_shades(legends: Sequence[_Mended], colours: Sequence[Rgb]) -> list[_Mended]:
    """Give as many legends of one ink as can be one shade of it.

    Args:
        legends: Each in its own shade.
        colours: Their inks as they were measured.
    """
    shared = list(legends)
    for colour in dict.fromkeys(colours):
        members = [index for index, other in enumerate(colours) if other == colour]
        read_by = {
            shade: [index for index in members if legends[index].place.contrast(shade) >= _WANTED]
            for shade in dict.fromkeys([colour, *(legends[index].ink for index in members)])
        }
        best = max(read_by, key=lambda shade: len(read_by[shade]))
        for index in read_by[best]:
            shared[index] = replace(legends[index], ink=best)
    return shared


def _levels(pixels: npt.NDArray[np.floating]) -> Picture:
    return np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
