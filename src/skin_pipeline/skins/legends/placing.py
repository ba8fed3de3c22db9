"""Where legends are set: sizes, baselines and directions that the legends of a keyboard have in common.

A quad says roughly where a legend is. Text detectors round, merge a letter with the rim of its key, and see a
narrow letter turned by some degrees, so a keyboard whose legends each fill their own quad has letters of
many sizes that dance on the line. What legends of one keyboard share is therefore taken from all of them:
the direction, the size of letters, the baseline of a row, and how much wider than its design a typeface is
drawn, as it is where skins were stretched.

Convention: a text's own frame has its origin on the baseline, x along the text, y down; units are em.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from skin_pipeline.errors import InputError
from skin_pipeline.geometry import FloatArray, as_quads, quad_sizes, quads_of, runs_downwards
from skin_pipeline.typefaces import ink_box, load_font

NARROWEST, WIDEST = 0.6, 1.4
"""The least and the greatest width of a typeface, in its own."""

_SUPERSAMPLING = 4
_ALIKE = 1.18
"""Legends whose sizes differ by less than this factor are meant to have one size."""
_TOO_LARGE = 1.3
_LEVEL_DEGREES = 1.5
_SHARED_DEGREES = 8.0
"""Quads turned by less against the picture share one direction, the middle of all."""
_ROW = 0.45
"""Legends whose middles are as near as this, in heights, stand in one row."""
_OFF_THE_LINE = 0.3
"""A legend this far off the baseline of its row, in em, has a place of its own."""
_ROOM = 1.12
"""How much wider than its quad a word may be."""

Coverage = npt.NDArray[np.float32]
"""(h, w), 0 to 1: how much of each pixel ink covers."""


@dataclass(frozen=True)
class Spot:
    """What a quad says of a legend.

    Attributes:
        text: One line.
        centre: (x, y), pixels.
        width: Of the ink, along the text, pixels.
        height: Across it.
        degrees: Direction of the text, 0 to the right, 90 downwards.
    """

    text: str
    centre: tuple[float, float]
    width: float
    height: float
    degrees: float

    @property
    def along(self) -> tuple[float, float]:
        """Its middle in axes turned with the text: how far along the text, and how far down."""
        x, y = self.centre
        cosine, sine = _cos_sin(self.degrees)
        return x * cosine + y * sine, -x * sine + y * cosine

    @property
    def quad(self) -> FloatArray:
        """Its corners, (4, 2), TL TR BR BL of the text."""
        half = np.array([self.width, self.height]) / 2
        corners = quads_of([(*-half, *half)])[0]
        return turned(corners, self.degrees, self.centre)


@dataclass(frozen=True)
class Line:
    """A legend as it is set.

    Attributes:
        text: One line.
        font: A font file.
        origin: Where its baseline begins, (x, y), pixels of the picture.
        em_px: Size of the type.
        stretch: Width of the typeface in its own.
        degrees: Direction.
    """

    text: str
    font: Path
    origin: tuple[float, float]
    em_px: float
    stretch: float
    degrees: float

    @cached_property
    def quad(self) -> FloatArray:
        """Corners of its ink, (4, 2), TL TR BR BL of the text."""
        left, top, right, bottom = ink_box(self.text, self.font)
        corners = quads_of([(left, top, right, bottom)])[0] * (self.em_px * self.stretch, self.em_px)
        return turned(corners, self.degrees, self.origin)

    def coverage(self, left: int, top: int, width: int, height: int) -> Coverage:
        """Return how much of each pixel of a window of the picture its ink covers, (height, width)."""
        em_px = max(1, round(self.em_px * _SUPERSAMPLING))
        box = [round(value * em_px) for value in ink_box(self.text, self.font)]
        x, y = 1 - box[0], 1 - box[1]
        mask = Image.new("L", (box[2] - box[0] + 2, box[3] - box[1] + 2))
        font = load_font(self.font, em_px)
        ImageDraw.Draw(mask).text((x, y), self.text, fill=255, font=font, anchor="ls")
        scale = self.em_px * _SUPERSAMPLING / em_px
        cosine, sine = _cos_sin(self.degrees)
        linear = scale * np.array([[cosine * self.stretch, -sine], [sine * self.stretch, cosine]])
        origin = (np.asarray(self.origin) - (left, top)) * _SUPERSAMPLING
        # OpenCV counts pixel centres as whole numbers, geometry.py as halves.
        shift = origin - linear @ (x - 0.5, y - 0.5) - 0.5
        size = (width * _SUPERSAMPLING, height * _SUPERSAMPLING)
        fine = cv2.warpAffine(np.asarray(mask), np.column_stack([linear, shift]), size)
        covered = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(covered / 255, np.float32)


def turned(points: FloatArray, degrees: float, origin: tuple[float, float]) -> FloatArray:
    """Turn points (N, 2) from the right downwards around (0, 0), and move that to an origin."""
    cosine, sine = _cos_sin(degrees)
    moved: FloatArray = points @ np.array([[cosine, sine], [-sine, cosine]]) + origin
    return moved


def find_spots(quads: npt.ArrayLike, texts: Sequence[str], inset: float) -> list[Spot]:
    """Return what quads say of their legends.

    Args:
        quads: (N, 4, 2), TL TR BR BL of the text.
        texts: N lines.
        inset: How far to draw each side of a quad in, in units of its shorter side.

    Returns:
        N spots; those that are nearly level (or nearly upright) share one direction.

    Raises:
        InputError: There are more or fewer quads than texts, or a quad without area.
    """
    corners = as_quads(quads)
    if len(corners) != len(texts):
        raise InputError(f"There are {len(corners)} quads but {len(texts)} legends; each legend needs one.")
    spots = [_spot(quad, text, inset) for quad, text in zip(corners, texts, strict=True)]
    shared = _shared_lean(spots)
    return [_leaning(spot, shared) for spot in spots]


def _shared_lean(spots: Iterable[Spot]) -> float:
    """Return by how many degrees the text of a picture leans; the longer a legend is, the more it counts."""
    leans = [
        lean
        for spot in spots
        for lean in [_lean(spot.degrees)] * round(spot.width)
        if abs(lean) < _SHARED_DEGREES
    ]
    shared = float(np.median(leans)) if leans else 0.0
    return 0.0 if abs(shared) < _LEVEL_DEGREES else shared


def _spot(quad: FloatArray, text: str, inset: float) -> Spot:
    width, height = quad_sizes(quad)[0]
    if runs_downwards(quad, text):
        # Its own top left lies at the quad's top right corner.
        quad, width, height = np.roll(quad, -1, axis=0), height, width
    free = 2 * inset * min(width, height)
    if min(width, height) - free < 1:
        raise InputError(
            f"The quad of the legend '{text}' is {width:.1f} x {height:.1f} px; no text fits in there."
        )
    direction = quad[1] + quad[2] - quad[0] - quad[3]
    degrees = float(np.degrees(np.arctan2(direction[1], direction[0])))
    x, y = quad.mean(axis=0)
    return Spot(text, (float(x), float(y)), float(width - free), float(height - free), degrees)


def _lean(degrees: float) -> float:
    """Return by how many degrees a direction differs from the nearest axis, -45 to 45."""
    return (degrees + 45) % 90 - 45


def _leaning(spot: Spot, shared: float) -> Spot:
    if abs(_lean(spot.degrees)) >= _SHARED_DEGREES:
        return spot
    return replace(spot, degrees=90.0 * round(spot.degrees / 90) + shared)


def set_lines(spots: Sequence[Spot], font_of: Callable[[str], Path], scale: float = 1.0) -> list[Line]:
    """Set legends in their spots, with sizes and baselines that they have in common.

    Args:
        spots: Of the legends of one picture.
        font_of: Returns the font of a text.
        scale: Size, in that at which legends fill their quads.

    Returns:
        A line a spot.
    """
    fonts = [font_of(spot.text) for spot in spots]
    rows = _rows(spots)
    ems = _common_sizes(spots, fonts, rows)
    stretches = _common_stretches(spots, fonts, ems)
    ems = [scale * _fitting(*each) for each in zip(spots, fonts, ems, stretches, strict=True)]
    downs = _common_baselines(spots, fonts, ems, rows)
    return [_line(*each) for each in zip(spots, fonts, ems, stretches, downs, strict=True)]


def _rows(spots: Sequence[Spot]) -> list[list[int]]:
    """Group legends that stand beside each other in one direction."""
    rows: list[list[int]] = []
    order = sorted(range(len(spots)), key=lambda index: (round(spots[index].degrees), spots[index].along[1]))
    for index in order:
        if rows:
            down = float(np.median([spots[member].along[1] for member in rows[-1]]))
            near = _ROW * float(np.median([spots[member].height for member in rows[-1]]))
            is_beside = abs(spots[index].along[1] - down) <= near
            if is_beside and spots[index].degrees == spots[rows[-1][0]].degrees:
                rows[-1].append(index)
                continue
        rows.append([index])
    return rows


def _is_letter(spot: Spot) -> bool:
    return len(spot.text) == 1 and spot.text.isalnum() and spot.text.isascii()


def _common_sizes(spots: Sequence[Spot], fonts: Sequence[Path], rows: Sequence[Sequence[int]]) -> list[float]:
    """Return the size of each legend, em in pixels: one for all letters of a row, few for the picture."""
    own = [_own_size(spot, font) for spot, font in zip(spots, fonts, strict=True)]
    together: list[list[int]] = []
    for row in rows:
        _bring_down(row, spots, own)
        letters = [index for index in row if _is_letter(spots[index])]
        together += [letters] if letters else []
        together += [[index] for index in row if not _is_letter(spots[index])]
    sizes = list(own)
    for group in _alike(together, own):
        members = [index for unit in group for index in unit]
        for index in members:
            sizes[index] = float(np.median([own[member] for member in members]))
    return sizes


def _bring_down(row: Sequence[int], spots: Sequence[Spot], sizes: list[float]) -> None:
    """Give legends that are much larger than the others of their row and script the others' size, in place.

    Text detectors take the rim of a key for a part of its legend, so a quad is often too large; it is seldom
    too small.
    """
    for is_latin in (True, False):
        members = [index for index in row if spots[index].text.isascii() == is_latin]
        usual = _middle(members, sizes) if len(members) > 2 else np.inf
        for index in members:
            sizes[index] = usual if sizes[index] > _TOO_LARGE * usual else sizes[index]


def _alike(units: Iterable[list[int]], sizes: Sequence[float]) -> Iterator[list[list[int]]]:
    """Group units, smallest first, whose middle sizes are alike."""
    group: list[list[int]] = []
    for unit in sorted(units, key=lambda members: _middle(members, sizes)):
        if group and _middle(unit, sizes) > _ALIKE * _middle(group[0], sizes):
            yield group
            group = []
        group.append(unit)
    if group:
        yield group


def _middle(members: Sequence[int], values: Sequence[float]) -> float:
    return float(np.median([values[member] for member in members]))


def _own_size(spot: Spot, font: Path) -> float:
    left, top, right, bottom = ink_box(spot.text, font)
    if bottom - top < right - left and not _has_letters(spot.text):
        # The height of a dash says nothing of the size of its type.
        return spot.width / (right - left)
    return spot.height / (bottom - top)


def _has_letters(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _common_stretches(spots: Sequence[Spot], fonts: Sequence[Path], ems: Sequence[float]) -> list[float]:
    """Return the stretch of each legend: one for each font."""
    found: dict[Path, list[float]] = {}
    for spot, font, em in zip(spots, fonts, ems, strict=True):
        left, _, right, _ = ink_box(spot.text, font)
        found.setdefault(font, []).append(spot.width / (em * (right - left)))
    shared = {font: float(np.clip(np.median(all_), NARROWEST, WIDEST)) for font, all_ in found.items()}
    return [shared[font] for font in fonts]


def _fitting(spot: Spot, font: Path, em: float, stretch: float) -> float:
    """Return the size at which a word is not much wider than its quad."""
    left, _, right, _ = ink_box(spot.text, font)
    is_word = len(spot.text) > 1
    return min(em, _ROOM * spot.width / (stretch * (right - left))) if is_word else em


def _common_baselines(
    spots: Sequence[Spot], fonts: Sequence[Path], ems: Sequence[float], rows: Sequence[Sequence[int]]
) -> list[float]:
    """Return how far down the baseline of each legend lies, in axes turned with its text."""
    downs = []
    for spot, font, em in zip(spots, fonts, ems, strict=True):
        _, top, _, bottom = ink_box(spot.text, font)
        downs.append(spot.along[1] - em * (top + bottom) / 2)
    settled = list(downs)
    for row in rows:
        letters = [index for index in row if _has_letters(spots[index].text)]
        for group in _alike([[index] for index in letters], ems):
            members = [unit[0] for unit in group]
            line = _middle(members, downs)
            for index in members:
                if abs(downs[index] - line) < _OFF_THE_LINE * ems[index]:
                    settled[index] = line
    # On whole pixels, the feet of letters are sharp.
    return [
        float(round(down)) if spot.degrees % 90 == 0 else down
        for spot, down in zip(spots, settled, strict=True)
    ]


def _line(spot: Spot, font: Path, em: float, stretch: float, down: float) -> Line:
    left, _, right, _ = ink_box(spot.text, font)
    across = spot.along[0] - em * stretch * (left + right) / 2
    cosine, sine = _cos_sin(spot.degrees)
    origin = (across * cosine - down * sine, across * sine + down * cosine)
    return Line(spot.text, font, origin, em, stretch, spot.degrees)


def _cos_sin(degrees: float) -> tuple[float, float]:
    radians = np.radians(degrees)
    return float(np.cos(radians)), float(np.sin(radians))
